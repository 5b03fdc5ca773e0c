/** The runtime that a run tests: a gantryd of its own, Debian's containerd, or one that is there already. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startContainerd } from "../../bench/containerd.ts";
import { TestDaemon, type TestDaemonOptions } from "../harness/daemon.ts";
import { debianPrograms, handlerSettings } from "../harness/external-runtimes.ts";
import { leftoversAtRest } from "../harness/leftovers.ts";

export const UPSTREAMS = ["gcr.io", "registry.k8s.io", "k8s.gcr.io", "docker.io"];
const CONTAINERD_SUBNET = "10.198.0.0/16";

export interface Subject {
  endpoint: string;
  nriSocket?: string;
  /** Ends it, and tells what of it is left on the host; of runtimes of others nothing is known. */
  end(): Promise<string[]>;
  /** Writes what it has logged into a directory. */
  keepLog(directory: string): Promise<void>;
  /** Deletes its files. */
  remove(): Promise<void>;
}

export interface SubjectOptions {
  network: string;
  against: string | undefined;
  /** What containerd's shim calls instead of runc. */
  binaryName: string | undefined;
  endpoint: string | undefined;
  /** "runc" or "crun": Debian's program runs the containers. */
  handler: string | undefined;
  /** Of the runtime at the endpoint. */
  nriSocket: string | undefined;
  /** "127.0.0.1:PORT", with the images of all upstream registries. */
  registry: string;
}

export async function startSubject(options: SubjectOptions): Promise<Subject> {
  const nothing = { keepLog: () => Promise.resolve(), remove: () => Promise.resolve() };
  if (options.endpoint !== undefined)
    return {
      endpoint: options.endpoint,
      ...(options.nriSocket === undefined ? {} : { nriSocket: options.nriSocket }),
      end: () => Promise.resolve([]),
      ...nothing,
    };
  const mirrors = Object.fromEntries(UPSTREAMS.map((upstream) => [upstream, options.registry]));
  if (options.against === "containerd") {
    const { endpoint, stop } = await startContainerd(mirrors, CONTAINERD_SUBNET, options.binaryName);
    const end = async (): Promise<string[]> => {
      await stop();
      return [];
    };
    return { endpoint, end, ...nothing };
  }
  const daemon = await TestDaemon.start({
    network: options.network === "cni" ? "cni" : "embedded",
    plainHttpHosts: [options.registry],
    mirrors,
    ...(options.handler !== undefined && (await handlerOptions(options.handler))),
  });
  return {
    endpoint: daemon.endpoint,
    nriSocket: daemon.nriSocket,
    end: async () => {
      await daemon.stop();
      return await leftoversAtRest(daemon);
    },
    keepLog: async (directory) => await writeFile(join(directory, "gantryd.log"), daemon.log()),
    remove: () => daemon.remove(),
  };
}

/** The default handler, too: some of the suite's pods name none. */
async function handlerOptions(handler: string): Promise<TestDaemonOptions> {
  const program = (await debianPrograms()).get(handler);
  if (program === undefined) throw new Error(`--handler ${handler}: only runc and crun are known`);
  return { defaultHandler: handler, configuration: handlerSettings(handler, program) };
}
