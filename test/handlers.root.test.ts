/**
 * Containers that a runc-compatible program runs, Debian's runc and crun: they are as any other to the clients, and
 * nothing of them is left.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { joined, readCriLog } from "./harness/cri-log.ts";
import { debianPrograms, handlerSettings } from "./harness/external-runtimes.ts";
import { assertHoldings, holdings } from "./harness/holdings.ts";
import { BUSYBOX, makeSetting, type Setting } from "./harness/setting.ts";
import { BASE, LENGTH, MAPPED, own } from "./harness/user-namespace.ts";
import { FOREVER, type TestPod, Workload } from "./harness/workload.ts";

const MiB = 1 << 20;
const NAMES = ["runc", "crun"];
const CONTAINER = 1;

let setting: Setting;
let work: Workload;
let idle: string[] = [];
before(async () => {
  const settings = [...(await debianPrograms())].map(([name, program]) => handlerSettings(name, program));
  setting = await makeSetting({ configuration: settings.join("\n") });
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

const ownPids = { linux: { security_context: { namespace_options: { pid: CONTAINER } } } };

async function verbose(id: string): Promise<{ pid: number }> {
  const { info } = await work.client.ContainerStatus({ container_id: id, verbose: true });
  return JSON.parse(info["info"] ?? "{}") as { pid: number };
}

async function parentOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

async function logOf(name: string, stream: "stdout" | "stderr"): Promise<string> {
  return joined(await readCriLog(join(work.logDirectory, `${name}.log`)), stream).toString();
}

async function eventually(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  for (let attempt = 0; attempt < 1000; attempt++) {
    if (await holds()) return;
    await sleep(20);
  }
  throw new Error(`not in time: ${what}`);
}

/** What a child prints, so far and to its end. */
function output(child: ChildProcess): { text: string; end: Promise<unknown> } {
  const seen = { text: "", end: once(child, "close") };
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => (seen.text += chunk.toString()));
  return seen;
}

for (const name of NAMES) {
  test(`${name}: output, exit codes and signals`, async () => {
    await inPod(name, async (pod) => {
      const script = "echo out; echo err >&2; printf unfinished; exit 3";
      const id = await work.run(pod, `${name}-ends`, ["sh", "-c", script]);
      assert.deepEqual(await work.exited(id), { exitCode: 3, reason: "Error" });
      assert.equal(await logOf(`${name}-ends`, "stdout"), "out\nunfinished");
      assert.equal(await logOf(`${name}-ends`, "stderr"), "err\n");
      const killed = await work.run(
        pod,
        `${name}-killed`,
        ["sh", "-c", "kill -USR1 $$; sleep 1000"],
        ownPids,
      );
      // The first process of a PID namespace takes no signal that it has not asked for.
      await work.client.StopContainer({ container_id: killed, timeout: 0 });
      assert.equal((await work.exited(killed)).exitCode, 137);
      const stopped = await work.run(pod, `${name}-stopped`, [
        "sh",
        "-c",
        "trap 'exit 9' TERM; echo up; while :; do sleep 0.02; done",
      ]);
      await eventually("it is up", async () => (await logOf(`${name}-stopped`, "stdout")) === "up\n");
      await work.client.StopContainer({ container_id: stopped, timeout: 60 });
      assert.equal((await work.exited(stopped)).exitCode, 9);
      await assert.rejects(work.run(pod, `${name}-none`, ["/no/such/command"]), /no\/such\/command/);
    });
  });

  test(`${name}: a container is confined as it was asked for`, async () => {
    await inPod(name, async (pod) => {
      const security = {
        namespace_options: { pid: CONTAINER },
        run_as_user: { value: 1000 },
        supplemental_groups: [2000],
        readonly_rootfs: true,
        no_new_privs: true,
        capabilities: { drop_capabilities: ["ALL"] },
        seccomp: { profile_type: 0 },
      };
      const id = await work.run(pod, "confined", FOREVER, {
        linux: { security_context: security },
        working_dir: "/tmp",
      });
      const status = await work.read(id, "cat /proc/self/status");
      for (const line of [
        "Seccomp:\t2",
        "NoNewPrivs:\t1",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
      ])
        assert.ok(status.includes(line), `${line} in ${status}`);
      assert.equal(await work.read(id, "id -u; id -G; pwd; hostname"), `1000\n0 2000\n/tmp\npod-${name}`);
      assert.match((await work.exec(id, "touch /x")).stderr, /Read-only/);
      assert.equal(await work.read(id, "cat /proc/1/comm"), "sh");
      assert.equal(await work.read(id, "ls /proc/acpi /sys/firmware 2>/dev/null | grep -v : || true"), "");
    });
  });

  test(`${name}: exec`, async () => {
    await inPod(name, async (pod) => {
      const id = await work.run(pod, "target", FOREVER, { envs: [{ key: "A", value: Buffer.from("b c") }] });
      assert.deepEqual(await work.exec(id, "echo $A; echo err >&2; exit 7"), {
        stdout: "b c\n",
        stderr: "err\n",
        exitCode: 7,
      });
      assert.equal((await work.exec(id, "kill -9 $$")).exitCode, 137);
      await assert.rejects(
        work.client.ExecSync({ container_id: id, cmd: ["/no/such/command"] }),
        /no\/such\/command/,
      );
      await assert.rejects(work.exec(id, "sleep 1234", 1), /not finished after 1 s/);
      assert.equal(await work.read(id, "pgrep -f '[s]leep 1234' || true"), "");
      const much = await work.exec(id, "head -c 3000000 /dev/zero");
      assert.equal(much.stdout.length, 3_000_000);
      const many = await Promise.all(Array.from({ length: 10 }, (_, n) => work.read(id, `echo ${n}`)));
      assert.deepEqual(
        many,
        Array.from({ length: 10 }, (_, n) => String(n)),
      );
      const copied = await setting.crictl.tryWith("line\n".repeat(1000), "exec", "-i", id, "cat");
      assert.equal(copied.stdout, "line\n".repeat(1000));
    });
  });

  test(`${name}: terminals, of the container and of an exec, and attach`, async () => {
    await inPod(name, async (pod) => {
      const id = await work.run(
        pod,
        `${name}-tty`,
        ["sh", "-c", "tty; read -r line; echo got $line; sleep 1000"],
        { tty: true, stdin: true },
      );
      await eventually("a terminal", async () => /\/dev\/pts\/\d/.test(await logOf(`${name}-tty`, "stdout")));
      const quoted = ([program, args]: readonly [string, readonly string[]]): string =>
        [program, ...args].map((word) => `'${word}'`).join(" ");
      const attach = spawn("script", [
        "-qec",
        quoted(setting.crictl.command("attach", "-it", id)),
        "/dev/null",
      ]);
      const attached = output(attach);
      attach.stdin.write("hello\n");
      await eventually("the answer", () => attached.text.includes("got hello"));
      attach.kill();
      await attached.end;
      const shell = quoted(setting.crictl.command("exec", "-it", id, "sh"));
      const child = spawn("script", ["-qec", `stty rows 33 cols 77; ${shell}`, "/dev/null"]);
      const seen = output(child);
      child.stdin.write("until stty size | grep '33 77'; do sleep 0.02; done; echo $((40+2)); tty\n");
      await eventually("the answer", () => /33 77\r?\n42\r?\n\/dev\/pts\/\d/.test(seen.text));
      child.stdin.write("exit 0\n");
      await seen.end;
    });
  });

  test(`${name}: limits, their update, statistics, and the end by want of memory`, async () => {
    await inPod(name, async (pod) => {
      const memory = (bytes: number): object => ({
        linux: {
          resources: { memory_limit_in_bytes: bytes, memory_swap_limit_in_bytes: bytes, cpu_shares: 200 },
        },
      });
      const id = await work.run(pod, "limited", FOREVER, memory(64 * MiB));
      const stats = async () => (await work.client.ContainerStats({ container_id: id })).stats;
      await work.read(id, "head -c 5000000 /dev/zero >/dev/shm/file");
      assert.ok(Number((await stats())?.memory?.working_set_bytes?.value) > 4_000_000);
      assert.equal(Number((await stats())?.memory?.available_bytes?.value) < 64 * MiB, true);
      const linux = { memory_limit_in_bytes: 32 * MiB, memory_swap_limit_in_bytes: 32 * MiB };
      await work.client.UpdateContainerResources({ container_id: id, linux });
      assert.equal(Number((await stats())?.memory?.available_bytes?.value) < 32 * MiB, true);
      await assert.rejects(
        work.client.UpdateContainerResources({ container_id: id, linux: { memory_limit_in_bytes: 4096 } }),
      );
      assert.equal(await work.read(id, "echo lives"), "lives");
      const hungry = await work.run(pod, "hungry", ["tail", "/dev/zero"], memory(24 * MiB));
      assert.deepEqual(await work.exited(hungry), { exitCode: 137, reason: "OOMKilled" });
    });
  });

  test(`${name}: volumes, of the host and out of images`, async () => {
    const host = setting.daemon.path(`volume-${name}`);
    await mkdir(host);
    await writeFile(join(host, "file"), "of the host");
    await inPod(name, async (pod) => {
      const image = { image: BUSYBOX };
      const mounts = [
        { host_path: host, container_path: "/host" },
        { host_path: host, container_path: "/fixed", readonly: true },
        { container_path: "/image", image, readonly: true },
        { container_path: "/etc-of-image", image, image_sub_path: "etc", readonly: true },
      ];
      const id = await work.run(pod, "volumes", FOREVER, { mounts });
      assert.equal(
        await work.read(id, "cat /host/file; echo more >/host/more; cat /fixed/more"),
        "of the hostmore",
      );
      for (const path of ["/fixed/x", "/image/x", "/etc-of-image/x"])
        assert.match((await work.exec(id, `touch ${path}`)).stderr, /Read-only/);
      assert.equal(
        await work.read(id, "test -f /image/bin/busybox && cat /etc-of-image/passwd | head -c 4"),
        "root",
      );
      await work.client.StopContainer({ container_id: id, timeout: 0 });
    });
    assert.equal(await readFile(join(host, "more"), "utf8"), "more\n");
  });

  test(`${name}: volumes propagate as they are asked to`, async () => {
    const host = setting.daemon.path(`shared-${name}`);
    await mkdir(join(host, "inside"), { recursive: true });
    await mkdir(join(host, "outside"));
    const run = async (...args: string[]): Promise<void> => {
      const [code] = (await once(spawn(args[0] ?? "", args.slice(1), { stdio: "inherit" }), "exit")) as [
        number,
      ];
      assert.equal(code, 0, args.join(" "));
    };
    const privileged = { linux: { security_context: { privileged: true } } };
    await run("mount", "--bind", host, host);
    await run("mount", "--make-rshared", host);
    try {
      await work.inPod(
        `pod-${name}`,
        privileged,
        async (pod) => {
          const mount = (propagation: number): object => ({
            mounts: [{ host_path: host, container_path: "/shared", propagation }],
            ...privileged,
          });
          const both = await work.run(pod, "both", FOREVER, mount(2));
          const slave = await work.run(pod, "slave", FOREVER, mount(1));
          const none = await work.run(pod, "none", FOREVER, mount(0));
          await run("mount", "-t", "tmpfs", "tmpfs", join(host, "outside"));
          await writeFile(join(host, "outside/file"), "");
          assert.equal(await work.read(slave, "ls /shared/outside"), "file");
          assert.equal(await work.read(both, "ls /shared/outside"), "file");
          assert.equal(await work.read(none, "ls /shared/outside"), "");
          await work.read(both, "mount -t tmpfs tmpfs /shared/inside && touch /shared/inside/of-container");
          assert.ok(existsSync(join(host, "inside/of-container")));
          assert.equal(await work.read(slave, "ls /shared/inside"), "of-container");
          await work.read(slave, "umount /shared/inside");
          assert.ok(existsSync(join(host, "inside/of-container")));
          await run("umount", join(host, "outside"));
          await run("umount", join(host, "inside"));
        },
        name,
      );
    } finally {
      await run("umount", "-R", host);
    }
    await assertHoldings(setting.daemon, idle);
  });

  test(`${name}: containers share their pod's namespaces, and see each other's processes where they are to`, async () => {
    await inPod(name, async (pod) => {
      const [one, two] = [await work.run(pod, "one"), await work.run(pod, "two")];
      assert.equal(await work.read(one, "cat /proc/1/comm"), "pause");
      for (const kind of ["net", "ipc", "uts", "pid"])
        assert.equal(
          await work.read(one, `readlink /proc/self/ns/${kind}`),
          await work.read(two, `readlink /proc/self/ns/${kind}`),
        );
      assert.notEqual(
        await work.read(one, "readlink /proc/self/ns/mnt"),
        await work.read(two, "readlink /proc/self/ns/mnt"),
      );
      await work.read(one, "echo shared >/dev/shm/file");
      assert.equal(await work.read(two, "cat /dev/shm/file"), "shared");
      const target = { linux: { security_context: { namespace_options: { pid: 3, target_id: one } } } };
      const debug = await work.run(pod, "debug", FOREVER, target);
      assert.equal(
        await work.read(debug, "readlink /proc/self/ns/pid"),
        await work.read(one, "readlink /proc/self/ns/pid"),
      );
    });
  });

  test(`${name}: the daemon's and the shim's death`, async () => {
    const { daemon } = setting;
    await inPod(name, async (pod) => {
      const count = "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); usleep 10000; done; exit 5";
      const counter = await work.run(pod, `${name}-counter`, ["sh", "-c", count]);
      const heir = await work.run(pod, "heir", [
        "sh",
        "-c",
        "trap 'exit 9' TERM; while :; do sleep 0.02; done",
      ]);
      const orphan = await work.run(pod, "orphan");
      const later = await work.run(pod, "later");
      const { pid } = await verbose(orphan);
      const { pid: laterPid } = await verbose(later);
      const laterShim = await parentOf(laterPid);
      await daemon.kill();
      process.kill(laterShim, "SIGKILL");
      await daemon.run();
      assert.equal(await work.read(heir, "echo $((6*7))"), "42");
      await work.client.StopContainer({ container_id: heir, timeout: 60 });
      assert.equal((await work.exited(heir)).exitCode, 9);
      assert.equal((await work.exited(counter)).exitCode, 5);
      const lines = (await logOf(`${name}-counter`, "stdout")).split("\n").filter((line) => line !== "");
      assert.deepEqual(
        lines,
        Array.from({ length: 100 }, (_, n) => `line ${n}`),
      );
      process.kill(await parentOf(pid), "SIGKILL");
      for (const [id, process] of [
        [orphan, pid],
        [later, laterPid],
      ] as const) {
        assert.equal((await work.exited(id)).exitCode, 255);
        await eventually("its processes have ended", () => !existsSync(`/proc/${process}`));
      }
    });
  });

  test(`${name}: a configuration's hooks run once`, async () => {
    await mkdir(setting.daemon.path("cdi"), { recursive: true });
    const trace = setting.daemon.path(`hooks-${name}`);
    const hooks = ["createRuntime", "poststart", "poststop"].map((hookName) => ({
      hookName,
      path: "/bin/sh",
      args: ["sh", "-c", `read -r state; echo ${hookName} >>${trace}`],
    }));
    const cdi = {
      cdiVersion: "1.0.0",
      kind: `test.example/${name}`,
      devices: [{ name: "one", containerEdits: { hooks } }],
    };
    await writeFile(setting.daemon.path("cdi", `${name}.json`), JSON.stringify(cdi));
    await inPod(name, async (pod) => {
      const id = await work.run(pod, "hooked", FOREVER, {
        CDI_devices: [{ name: `test.example/${name}=one` }],
      });
      assert.equal(await readFile(trace, "utf8"), "createRuntime\npoststart\n");
      await work.client.StopContainer({ container_id: id, timeout: 0 });
      await work.client.RemoveContainer({ container_id: id });
      assert.equal(await readFile(trace, "utf8"), "createRuntime\npoststart\npoststop\n");
    });
  });

  test(`${name}: a pod in a user namespace, with an id-mapped volume`, async () => {
    const host = setting.daemon.path(`mapped-${name}`);
    await mkdir(host, { mode: 0o700 });
    await writeFile(join(host, "file"), "of root", { mode: 0o600 });
    const pod = { ...own(), log_directory: work.logDirectory };
    await inPod(
      name,
      async (made) => {
        const mounts = [
          { host_path: host, container_path: "/mapped", ...MAPPED },
          { container_path: "/image", image: { image: BUSYBOX }, readonly: true },
        ];
        const id = await work.run(made, "mapped", FOREVER, { ...own(), mounts });
        const map = (await work.read(id, "cat /proc/self/uid_map")).replaceAll(/\s+/g, " ").trim();
        assert.equal(map, `0 ${BASE} ${LENGTH}`);
        assert.equal(
          await work.read(
            id,
            "cat /mapped/file; touch /mapped/new /new; stat -c %u /mapped/new /new /bin /image/bin",
          ),
          "of root0\n0\n0\n0",
        );
        assert.equal(
          (await readFile(`/proc/${(await verbose(id)).pid}/status`, "utf8")).includes(`Uid:\t${BASE}\t`),
          true,
        );
      },
      pod,
    );
  });
}
