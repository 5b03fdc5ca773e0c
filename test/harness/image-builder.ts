/** Builds OCI images from entries in memory and pushes them to a registry over plain HTTP. */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { Header } from "tar";

export interface LayerEntry {
  path: string;
  type: "File" | "Directory" | "SymbolicLink" | "Link";
  mode?: number;
  uid?: number;
  gid?: number;
  data?: Uint8Array;
  linkpath?: string;
}

const MTIME = new Date(1_700_000_000_000);

export function file(path: string, data: Uint8Array | string, mode = 0o644): LayerEntry {
  return { path, type: "File", mode, data: typeof data === "string" ? Buffer.from(data) : data };
}

export function directory(path: string, mode = 0o755): LayerEntry {
  return { path, type: "Directory", mode };
}

/** An uncompressed tar archive. Of entries with the same path the first one counts. */
export function tarOf(entries: readonly LayerEntry[]): Buffer {
  const seen = new Set<string>();
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    if (seen.has(entry.path)) continue;
    seen.add(entry.path);
    const data = entry.data ?? Buffer.alloc(0);
    const header = new Header({
      path: entry.type === "Directory" ? `${entry.path}/` : entry.path,
      mode: entry.mode ?? (entry.type === "SymbolicLink" ? 0o777 : 0o755),
      uid: entry.uid ?? 0,
      gid: entry.gid ?? 0,
      size: data.length,
      mtime: MTIME,
      type: entry.type,
      ...(entry.linkpath !== undefined && { linkpath: entry.linkpath }),
    });
    const block = Buffer.alloc(512);
    if (header.encode(block, 0)) throw new Error(`${entry.path} does not fit in a plain tar header`);
    blocks.push(block, Buffer.from(data), Buffer.alloc((512 - (data.length % 512)) % 512));
  }
  blocks.push(Buffer.alloc(1024));
  return Buffer.concat(blocks);
}

export interface Layer {
  diffId: string;
  digest: string;
  blob: Buffer;
}

export function layerOf(entries: readonly LayerEntry[]): Layer {
  const raw = tarOf(entries);
  const blob = gzipSync(raw, { level: 6 });
  return { diffId: sha256(raw), digest: sha256(blob), blob };
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

export interface ImageSettings {
  Env?: string[];
  Cmd?: string[];
  Entrypoint?: string[];
  User?: string;
  WorkingDir?: string;
  StopSignal?: string;
  ExposedPorts?: Record<string, object>;
  Volumes?: Record<string, object>;
}

/** Pushes one image; `name` is "repository:tag". Returns the manifest's digest. */
export async function pushImage(
  registry: string,
  name: string,
  layers: readonly Layer[],
  settings: ImageSettings,
): Promise<string> {
  const [repository, tag] = splitName(name);
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      created: "2024-01-01T00:00:00Z",
      config: settings,
      rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
      history: layers.map(() => ({ created: "2024-01-01T00:00:00Z", created_by: "fixture" })),
    }),
  );
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: sha256(config),
      size: config.length,
    },
    layers: layers.map(({ digest, blob }) => ({
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      digest,
      size: blob.length,
    })),
  };
  for (const { digest, blob } of layers) await pushBlob(registry, repository, digest, blob);
  await pushBlob(registry, repository, sha256(config), config);
  return pushManifest(registry, repository, tag, manifest.mediaType, Buffer.from(JSON.stringify(manifest)));
}

export async function pushManifest(
  registry: string,
  repository: string,
  reference: string,
  mediaType: string,
  body: Buffer,
): Promise<string> {
  const put = await fetch(`http://${registry}/v2/${repository}/manifests/${reference}`, {
    method: "PUT",
    headers: { "content-type": mediaType },
    body: new Uint8Array(body),
  });
  if (put.status !== 201)
    throw new Error(`manifest ${repository}:${reference}: ${put.status} ${await put.text()}`);
  await put.arrayBuffer();
  return sha256(body);
}

export async function pushBlob(
  registry: string,
  repository: string,
  digest: string,
  blob: Buffer,
): Promise<void> {
  const base = `http://${registry}/v2/${repository}/blobs`;
  const head = await fetch(`${base}/${digest}`, { method: "HEAD" });
  if (head.ok) return;
  const start = await fetch(`${base}/uploads/`, { method: "POST" });
  await start.arrayBuffer();
  const location = new URL(start.headers.get("location") ?? "", `http://${registry}`);
  location.searchParams.set("digest", digest);
  const put = await fetch(location, {
    method: "PUT",
    headers: { "content-type": "application/octet-stream" },
    body: new Uint8Array(blob),
  });
  if (put.status !== 201) throw new Error(`blob ${digest}: ${put.status} ${await put.text()}`);
  await put.arrayBuffer();
}

function splitName(name: string): [string, string] {
  const colon = name.lastIndexOf(":");
  return [name.slice(0, colon), name.slice(colon + 1)];
}
