import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import type { ImageRecord } from "../image/image.ts";
import type { ContainerMount } from "./container.ts";
import { createEngine } from "./create-engine.ts";
import type { Engine } from "./engine.ts";
import { FakeParts } from "./fake-parts.ts";
import { missingVolumes } from "./image-volume.ts";
import type { LifecycleHooks } from "./lifecycle-hooks.ts";
import { containerConfig, podConfig } from "./sample-config.ts";

const never = new AbortController().signal;
let parts: FakeParts;
let engine: Engine;

beforeEach(async () => {
  parts = new FakeParts();
  engine = await createEngine(parts.options());
});
afterEach(async () => {
  await engine.close();
  parts.remove();
});

function volume(more: Partial<ContainerMount> = {}): ContainerMount {
  return {
    containerPath: "/v",
    hostPath: "",
    readonly: true,
    selinuxRelabel: false,
    propagation: "private",
    uidMappings: [],
    gidMappings: [],
    recursiveReadOnly: false,
    image: { ...containerConfig().image },
    imageSubPath: "",
    mountOptions: [],
    ...more,
  };
}

async function create(mounts: ContainerMount[]): Promise<string> {
  const pod = await engine.runPodSandbox(podConfig(), "", never);
  return engine.createContainer(pod, containerConfig({ mounts }), never);
}

test("each volume has a view of its own, which goes with the container", async () => {
  const id = await create([volume(), volume({ containerPath: "/w", imageSubPath: "etc" })]);
  assert.deepEqual([...parts.snapshots], [id, `${id}.0`, `${id}.1`]);
  assert.deepEqual(
    engine.container(id).imageVolumes?.map(({ mount }) => mount),
    [0, 1],
  );
  await engine.removeContainer(id, never);
  assert.deepEqual([...parts.snapshots], []);
});

test("a container that is not made leaves no view", async () => {
  for (const [mount, error] of [
    [
      volume({ imageSubPath: "nowhere" }),
      { kind: "not-found", message: /mount "\/v": .* has no path "nowhere"/ },
    ],
    [volume({ image: { ...containerConfig().image, image: "other:1" } }), { kind: "not-found" }],
  ] as const) {
    await assert.rejects(create([volume({ containerPath: "/first" }), mount]), error);
    assert.deepEqual([...parts.snapshots], []);
  }
});

test("a restarted daemon keeps the views of its containers and collects all others", async () => {
  const id = await create([volume()]);
  for (const name of ["f".repeat(64), `${"f".repeat(64)}.0`]) parts.snapshots.add(name);
  await engine.close();
  engine = await createEngine(parts.options());
  assert.deepEqual([...parts.snapshots], [id, `${id}.0`]);
  await engine.startContainer(id, never);
});

test("plugins may adjust a container that has volumes", async () => {
  await engine.close();
  const hooks = new Proxy({} as LifecycleHooks, {
    get: (_, name) => {
      if (name === "createContainer")
        return (({ spec }, commit) => {
          const adjusted = spec();
          const process = { ...adjusted.process, env: ["ADJUSTED=1"] } as typeof adjusted.process & object;
          return commit({ spec: { ...adjusted, process }, cdiDevices: [] });
        }) satisfies LifecycleHooks["createContainer"];
      return (...args: unknown[]) => {
        const commit = args.find((arg): arg is () => void => typeof arg === "function");
        commit?.();
        return Promise.resolve();
      };
    },
  });
  engine = await createEngine({ ...parts.options(), hooks });
  const id = await create([volume()]);
  assert.match(JSON.stringify(engine.verboseContainer(id)), /ADJUSTED=1/);
});

const declaring = (volumes: string[]): Pick<ImageRecord, "id" | "chainId" | "config"> =>
  ({ id: "sha256:1", chainId: "sha256:2", config: { volumes } }) as never;

test("an image that declares many volumes holds up nothing else, and one with far too many is refused", async () => {
  let looked = 0;
  const fileKind = (_chain: string, path: string): "directory" | undefined => {
    looked++;
    return path.endsWith("7") ? "directory" : undefined;
  };
  const context = { snapshotter: { fileKind } } as never;
  const paths = Array.from({ length: 1000 }, (_, number) => `/v${number}`);
  let seen = 0;
  setImmediate(() => (seen = looked));
  const missing = await missingVolumes(context, declaring(["/proc/x", ...paths]), never);
  assert.deepEqual(
    missing,
    paths.filter((path) => !path.endsWith("7")),
  );
  assert.ok(seen > 0 && seen < 100, `another turn after ${seen} lookups`);
  await assert.rejects(missingVolumes(context, declaring([...paths, "/more"]), never), {
    kind: "resource-exhausted",
  });
  await assert.rejects(missingVolumes(context, declaring(paths), AbortSignal.abort()));
  assert.equal(looked, 1000);
});
