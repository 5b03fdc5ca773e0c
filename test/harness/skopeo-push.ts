/** Images pushed to a registry by skopeo, which shares no code with us, in every compression that layers have. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync, zstdCompressSync } from "node:zlib";

const run = promisify(execFile);

export interface LayerSource {
  compression: "gzip" | "zstd" | "none";
  /** An uncompressed tar archive. */
  tar: Buffer;
}

/** @returns the image id. @param name "HOST:PORT/repository:tag". @param credentials "user:password". */
export async function pushBySkopeo(
  name: string,
  layers: readonly LayerSource[],
  credentials?: string,
): Promise<string> {
  const layout = mkdtempSync(join(tmpdir(), "gantry-layout-"));
  try {
    const id = writeLayout(layout, layers);
    const flags = ["--insecure-policy", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"];
    if (credentials !== undefined) flags.push(`--dest-creds=${credentials}`);
    await run("skopeo", [...flags, `oci:${layout}`, `docker://${name}`]);
    return id;
  } finally {
    rmSync(layout, { recursive: true });
  }
}

/** An OCI image layout of one image. */
function writeLayout(layout: string, layers: readonly LayerSource[]): string {
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
  const image = {
    architecture,
    os: "linux",
    config: { Cmd: ["/bin/true"] },
    rootfs: { type: "layers", diff_ids: diffIds },
  };
  const config = put(Buffer.from(JSON.stringify(image)), "application/vnd.oci.image.config.v1+json");
  const manifestType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = { schemaVersion: 2, mediaType: manifestType, config, layers: descriptors };
  const manifests = [put(Buffer.from(JSON.stringify(manifest)), manifestType)];
  writeFileSync(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  writeFileSync(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  return config.digest;
}

/** Packs a directory with GNU tar. */
export async function packDirectory(directory: string): Promise<Buffer> {
  const { stdout } = await run("tar", ["--xattrs", "-C", directory, "-cf", "-", "."], {
    encoding: "buffer",
    maxBuffer: 1 << 30,
  });
  return stdout;
}
