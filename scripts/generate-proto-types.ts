/**
 * Makes src/cri/generated from proto/runtime/v1/api.proto: a TypeScript type for each message (what is sent, and, as
 * NAME__Output, what arrives) and api.json, the same definition as protobufjs loads it without parsing.
 *
 * The options given to the type generator say what src/cri/protocol.ts does at run time; the two belong together.
 *
 *   node scripts/generate-proto-types.ts [DIRECTORY]     default: src/cri/generated
 */
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";

const project = fileURLToPath(new URL("..", import.meta.url));
const definition = "proto/runtime/v1/api.proto";
const directory = process.argv[2] ?? join(project, "src/cri/generated");

rmSync(directory, { recursive: true, force: true });
execFileSync(
  process.execPath,
  [
    "node_modules/@grpc/proto-loader/build/bin/proto-loader-gen-types.js",
    "--keepCase",
    "--longs=String",
    "--enums=String",
    "--defaults",
    "--grpcLib=@grpc/grpc-js",
    "--importFileExtension=.ts",
    `--outDir=${directory}`,
    definition,
  ],
  { cwd: project, stdio: ["ignore", "ignore", "inherit"] },
);
// The index of the package: of use only with proto-loader.
rmSync(join(directory, "api.ts"));

const root = new protobuf.Root();
root.loadSync(join(project, definition), { keepCase: true });
writeFileSync(join(directory, "api.json"), `${JSON.stringify(root.toJSON(), null, 1)}\n`);
