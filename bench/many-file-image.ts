/**
 * An image of many files for the pull benchmark: 4 layers, 34,850 files, 1.1 GB uncompressed, of sizes and
 * compressibility like those of a language's image. The same bytes each time; the layers are kept in .cache/bench.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  directory,
  file,
  type Layer,
  type LayerEntry,
  layerOf,
  pushImage,
} from "../test/harness/image-builder.ts";

const FILES = [20_000, 10_000, 4_000, 850];
const MEAN_SIZE_BYTES = [18_000, 30_000, 60_000, 200_000];
export const MANY_FILE_IMAGE = "bench/many-files:1";

export async function pushManyFileImage(registry: string, cache: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  const layers: Layer[] = [];
  for (const index of FILES.keys()) layers.push(await cachedLayer(cache, index));
  await pushImage(registry, MANY_FILE_IMAGE, layers, { Cmd: ["true"] });
}

async function cachedLayer(cache: string, index: number): Promise<Layer> {
  const path = join(cache, `many-files-${index}.tar.gz`);
  if (existsSync(path)) {
    const names = JSON.parse(await readFile(`${path}.json`, "utf8")) as { diffId: string; digest: string };
    return { ...names, blob: await readFile(path) };
  }
  const layer = layerOf(entries(index));
  await writeFile(path, layer.blob);
  await writeFile(`${path}.json`, JSON.stringify({ diffId: layer.diffId, digest: layer.digest }));
  return layer;
}

function entries(index: number): LayerEntry[] {
  const count = FILES[index] ?? 0;
  const mean = MEAN_SIZE_BYTES[index] ?? 0;
  const pool = pseudoRandom(`layer ${index}`, 8 * 1024 * 1024);
  const found: LayerEntry[] = [directory(`layer${index}`)];
  for (let n = 0; n < count; n++) {
    if (n % 100 === 0) found.push(directory(`layer${index}/d${n / 100}`));
    const size = Math.round(mean * (0.2 + (1.6 * ((n * 7919) % 1000)) / 1000));
    const start = (n * 104_729) % (pool.length - 1024);
    // A quarter is unlike anything before; the rest repeats, as text and code do.
    const unique = pool.subarray(start, start + Math.min(size >> 2, pool.length - start));
    const data = Buffer.alloc(size, unique.subarray(0, Math.max(1, Math.min(unique.length, 4096))));
    unique.copy(data);
    found.push(file(`layer${index}/d${Math.floor(n / 100)}/f${n}`, data));
  }
  return found;
}

function pseudoRandom(seed: string, length: number): Buffer {
  const blocks: Buffer[] = [];
  let block = createHash("sha512").update(seed).digest();
  for (let size = 0; size < length; size += block.length) {
    blocks.push(block);
    block = createHash("sha512").update(block).digest();
  }
  return Buffer.concat(blocks).subarray(0, length);
}
