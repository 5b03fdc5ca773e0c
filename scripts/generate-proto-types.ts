/**
 * Makes the generated folders of src/cri and src/nri from the definitions in proto: a TypeScript type for each message
 * (what is sent, and, as NAME__Output, what arrives) and the same definition as JSON, which protobufjs loads without
 * parsing.
 *
 * The options given to the type generator say what src/cri/protocol.ts and src/nri/protocol.ts do at run time; they
 * belong together.
 *
 *   node scripts/generate-proto-types.ts
 */
import { execFileSync } from "node:child_process";
import { globSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";

const project = fileURLToPath(new URL("..", import.meta.url));

interface Definition {
  definition: string;
  /** Types go here, and NAME.json. */
  directory: string;
  json: string;
  /** Types of clients and servers: for grpc-js, and so of use for the CRI only. */
  services: string[];
}

const DEFINITIONS: Definition[] = [
  {
    definition: "proto/runtime/v1/api.proto",
    directory: "src/cri/generated",
    json: "api.json",
    services: [],
  },
  {
    definition: "proto/nri/v1alpha1/api.proto",
    directory: "src/nri/generated/api",
    json: "api.json",
    services: ["Runtime", "Plugin", "HostFunctions"],
  },
  {
    definition: "proto/ttrpc/ttrpc.proto",
    directory: "src/nri/generated/ttrpc",
    json: "ttrpc.json",
    services: [],
  },
];

for (const { definition, directory, json, services } of DEFINITIONS) {
  const output = join(project, directory);
  rmSync(output, { recursive: true, force: true });
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
      `--outDir=${output}`,
      definition,
    ],
    { cwd: project, stdio: ["ignore", "ignore", "inherit"] },
  );
  // The index of the package: of use only with proto-loader.
  for (const index of globSync("*.ts", { cwd: output })) rmSync(join(output, index));
  for (const service of services)
    for (const file of globSync(`**/${service}.ts`, { cwd: output })) rmSync(join(output, file));

  const root = new protobuf.Root();
  root.loadSync(join(project, definition), { keepCase: true });
  writeFileSync(join(output, json), `${JSON.stringify(root.toJSON(), null, 1)}\n`);
}
