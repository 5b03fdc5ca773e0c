/**
 * Handlers whose programs are missing, fail, hang or lie: their containers fail with a clear error, and nothing is left.
 * And what of a handler's settings and features shows.
 */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { debianPrograms, handlerSettings, script } from "./harness/external-runtimes.ts";
import { assertHoldings, holdings } from "./harness/holdings.ts";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { FOREVER, type TestPod, Workload } from "./harness/workload.ts";

let setting: Setting;
let work: Workload;
let idle: string[] = [];
/** Programs that misbehave, by the name of their handler. */
const odd = new Map<string, string>();

/** runc, but for one command. */
const except = (command: string, what: string): string =>
  `for word in "$@"; do case "$word" in ${command}) ${what};; esac; done; exec /usr/sbin/runc "$@"`;

before(async () => {
  const programs = await debianPrograms();
  const directory = join(import.meta.dirname, "../.cache/external-runtimes");
  const scripts: Record<string, string> = {
    mute: "exit 3",
    talker: "echo 'something is wrong' >&2; exit 1",
    hangs: except("create", "sleep 1000 & exec sleep 1000"),
    "hangs-late": except("start", "sleep 1000"),
    liar: 'case "$*" in *" create "*) while [ "$1" != --pid-file ]; do shift; done; echo 1 >"$2";; esac; exit 0',
    stranger:
      'case "$*" in *" create "*) while [ "$1" != --pid-file ]; do shift; done; echo $PPID >"$2";; esac; exit 0',
    keeps: except("delete", "sleep 1000"),
  };
  for (const [name, text] of Object.entries(scripts)) odd.set(name, await script(directory, name, text));
  odd.set("missing", join(directory, "no-such-program"));
  const short = "timeout_seconds = 2";
  setting = await makeSetting({
    configuration: [
      ...[...programs].map(([name, program]) => handlerSettings(name, program)),
      ...[...odd].map(([name, program]) => handlerSettings(name, program, short)),
      handlerSettings("annotated", "/usr/sbin/runc", 'pod_annotations = ["example.com/*"]'),
    ].join("\n"),
  });
  work = await Workload.begin(setting);
  idle = await holdings(setting.daemon);
});
after(async () => {
  work?.end();
  await setting?.finish();
});

async function inPod(
  handler: string,
  use: (pod: TestPod) => Promise<void>,
  more: object = {},
): Promise<void> {
  await work.inPod(`pod-${handler}`, more, use, handler);
  await assertHoldings(setting.daemon, idle);
}

test("annotations reach the configuration where the handler lets them through, and no others", async () => {
  const annotations = { "example.com/kept": "yes", "other.com/not": "no", "org.systemd.property.X": "no" };
  for (const [handler, expected] of [
    ["runc", undefined],
    ["annotated", "yes"],
  ] as const) {
    const pod = await work.pod(handler, { annotations }, handler);
    const id = await work.run(pod, "annotated");
    const text = await readFile(setting.daemon.path("state/bundles", id, "config.json"), "utf8");
    const config = JSON.parse(text) as { annotations: Record<string, string> };
    assert.equal(config.annotations["example.com/kept"], expected);
    assert.equal(
      config.annotations["other.com/not"] ?? config.annotations["org.systemd.property.X"],
      undefined,
    );
    assert.equal(config.annotations["io.kubernetes.cri.container-type"], "container");
    assert.equal(config.annotations["io.kubernetes.cri.sandbox-id"], pod.id);
    await work.remove(pod);
  }
});

test("the status tells what each handler's program can do", async () => {
  const { runtime_handlers } = await work.client.Status({});
  const features = (name: string): unknown =>
    runtime_handlers.find((handler) => handler.name === name)?.features;
  assert.ok(features("gantry"));
  assert.equal(
    (features("runc") as { recursive_read_only_mounts: boolean }).recursive_read_only_mounts,
    true,
  );
  const none = { recursive_read_only_mounts: false, user_namespaces: false };
  for (const name of ["missing", "mute"]) assert.deepEqual(features(name), none, name);
  assert.match(setting.daemon.log(), /"handler":"missing".*"runtime handler is not usable"/);
});

test("an unknown handler and one without its program are refused", async () => {
  await assert.rejects(work.pod("unknown", {}, "unknown"), /runtime handler "unknown" is not configured/);
  await assert.rejects(
    work.pod("missing", {}, "missing"),
    /runtime handler "missing".*no-such-program: ENOENT/,
  );
});

for (const [name, expected] of [
  ["mute", /mute create: exit status 3/],
  ["talker", /talker: something is wrong/],
  ["hangs", /hangs create: not finished after 2 s/],
  ["hangs-late", /hangs-late start: not finished after 2 s/],
  ["liar", /process of the external runtime|no terminal/],
  ["stranger", /process of the external runtime|no terminal/],
] as const) {
  test(`a program that misbehaves fails its container and leaves nothing: ${name}`, async () => {
    await inPod(name, async (pod) => {
      await assert.rejects(work.run(pod, "victim"), expected);
      await assert.rejects(work.run(pod, "victim-with-terminal", FOREVER, { tty: true }), expected);
      const left = await work.client.ListContainers({ filter: { pod_sandbox_id: pod.id } });
      assert.deepEqual(
        left.containers.map(({ state }) => state),
        ["CONTAINER_EXITED", "CONTAINER_EXITED"],
      );
    });
  });
}

test("a program that does not delete keeps no container from being removed", async () => {
  await inPod("keeps", async (pod) => {
    const id = await work.run(pod, "kept");
    await work.client.StopContainer({ container_id: id, timeout: 0 });
    await work.client.RemoveContainer({ container_id: id });
    assert.match(setting.daemon.log(), /keeps delete: not finished after 2 s/);
  });
});

test("a client that gives up while a program hangs leaves nothing", async () => {
  await inPod("hangs", async (pod) => {
    const id = await work.create(pod, "given-up", FOREVER);
    await assert.rejects(work.client.StartContainer({ container_id: id }, { timeoutMs: 300 }));
    await work.client.RemoveContainer({ container_id: id });
  });
});

test("containers of a handler that is configured no more can be stopped and removed, and nothing else", async () => {
  const { daemon } = setting;
  const configuration = await readFile(daemon.path("config.toml"), "utf8");
  const pod = await work.pod("forgotten", {}, "annotated");
  const id = await work.run(pod, "forgotten", [
    "sh",
    "-c",
    "trap 'exit 9' TERM; while :; do sleep 0.02; done",
  ]);
  await daemon.kill();
  await writeFile(
    daemon.path("config.toml"),
    configuration.replace("[runtimes.annotated]", "[runtimes.other]"),
  );
  try {
    await daemon.run();
    await assert.rejects(work.exec(id, "true"), /its runtime handler "annotated" is configured no more/);
    await work.client.StopContainer({ container_id: id, timeout: 60 });
    assert.equal((await work.exited(id)).exitCode, 9);
    await work.remove(pod);
    await assertHoldings(daemon, idle);
  } finally {
    await daemon.kill();
    await writeFile(daemon.path("config.toml"), configuration);
    await daemon.run();
  }
});
