/**
 * A real registry for tests: Debian's docker-registry with a directory and a free port of its own, and images
 * pushed to it by skopeo. Needs the packages docker-registry and skopeo.
 */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { gzipSync, zstdCompressSync } from "node:zlib";

const run = promisify(execFile);

/** For a registry with authentication; the hash is of this password. */
export const REGISTRY_USER = { username: "user", password: "s3cret" };
const HTPASSWD = "user:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

export interface LayerSource {
  compression: "gzip" | "zstd" | "none";
  /** An uncompressed tar archive. */
  tar: Buffer;
}

export class DebianRegistry {
  readonly host: string;
  readonly #directory: string;
  readonly #process: ChildProcess;
  readonly #authenticated: boolean;

  constructor(host: string, directory: string, process: ChildProcess, authenticated: boolean) {
    this.host = host;
    this.#directory = directory;
    this.#process = process;
    this.#authenticated = authenticated;
  }

  /** Resolves when it answers. @param authenticated whether it wants REGISTRY_USER, by basic authentication. */
  static async start(authenticated: boolean): Promise<DebianRegistry> {
    const directory = mkdtempSync(join(tmpdir(), "gantry-registry-"));
    const host = `127.0.0.1:${await freePort()}`;
    writeFileSync(join(directory, "htpasswd"), HTPASSWD);
    const auth = authenticated
      ? { auth: { htpasswd: { realm: "test", path: join(directory, "htpasswd") } } }
      : {};
    const config = {
      version: 0.1,
      log: { level: "error" },
      storage: { filesystem: { rootdirectory: join(directory, "data") } },
      http: { addr: host },
      ...auth,
    };
    // JSON is YAML.
    writeFileSync(join(directory, "config.yml"), JSON.stringify(config));
    const registry = spawn("docker-registry", ["serve", join(directory, "config.yml")], { stdio: "ignore" });
    const started = new DebianRegistry(host, directory, registry, authenticated);
    for (let attempt = 0; ; attempt += 1) {
      const answer = await fetch(`http://${host}/v2/`).catch(() => undefined);
      if (answer && [200, 401].includes(answer.status)) return started;
      if (attempt === 200) {
        await started.stop();
        throw new Error(`docker-registry does not answer on ${host}`);
      }
      await sleep(50);
    }
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.pid !== undefined) {
      const exited = new Promise((resolve) => this.#process.once("exit", resolve));
      this.#process.kill("SIGKILL");
      await exited;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** @returns the image id. @param name "repository:tag" */
  async push(
    name: string,
    layers: readonly LayerSource[],
    config: object = { Cmd: ["/bin/true"] },
  ): Promise<string> {
    const layout = mkdtempSync(join(this.#directory, "layout-"));
    mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
    const put = (bytes: Buffer, mediaType: string): { mediaType: string; digest: string; size: number } => {
      const hex = createHash("sha256").update(bytes).digest("hex");
      writeFileSync(join(layout, "blobs/sha256", hex), bytes);
      return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
    };
    const descriptors = layers.map(({ compression, tar }) => {
      const type = "application/vnd.oci.image.layer.v1.tar";
      if (compression === "none") return put(tar, type);
      return put(compression === "gzip" ? gzipSync(tar) : zstdCompressSync(tar), `${type}+${compression}`);
    });
    const diffIds = layers.map(({ tar }) => `sha256:${createHash("sha256").update(tar).digest("hex")}`);
    const architecture = { x64: "amd64" }[process.arch as string] ?? process.arch;
    const image = { architecture, os: "linux", config, rootfs: { type: "layers", diff_ids: diffIds } };
    const configDescriptor = put(
      Buffer.from(JSON.stringify(image)),
      "application/vnd.oci.image.config.v1+json",
    );
    const manifestType = "application/vnd.oci.image.manifest.v1+json";
    const manifest = {
      schemaVersion: 2,
      mediaType: manifestType,
      config: configDescriptor,
      layers: descriptors,
    };
    const manifestDescriptor = put(Buffer.from(JSON.stringify(manifest)), manifestType);
    writeFileSync(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    writeFileSync(
      join(layout, "index.json"),
      JSON.stringify({ schemaVersion: 2, manifests: [manifestDescriptor] }),
    );
    const { username, password } = REGISTRY_USER;
    const credentials = this.#authenticated ? [`--dest-creds=${username}:${password}`] : [];
    const flags = ["--insecure-policy", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"];
    await run("skopeo", [...flags, ...credentials, `oci:${layout}`, `docker://${this.host}/${name}`]);
    rmSync(layout, { recursive: true });
    return configDescriptor.digest;
  }
}

/** Packs a directory with GNU tar. */
export async function packDirectory(directory: string): Promise<Buffer> {
  const { stdout } = await run("tar", ["--xattrs", "-C", directory, "-cf", "-", "."], {
    encoding: "buffer",
    maxBuffer: 1 << 30,
  });
  return stdout;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
