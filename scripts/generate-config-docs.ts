/** Writes docs/configuration.md from the schema of the settings. */
import { writeFileSync } from "node:fs";
import { format } from "prettier";
import { configReference } from "../src/daemon/config-document.ts";

const INTRODUCTION = `<!-- Made by scripts/generate-config-docs.ts from src/daemon/config-schema.ts: edit that, then run npm run generate. -->

# Configuration

\`gantryd\` needs no configuration file. It reads, in this order, each later one winning:

1. the built-in defaults,
2. \`/etc/gantry/config.toml\`, or the file that \`--config\` names,
3. \`conf.d/*.toml\` beside that file, in the order of their names,
4. the command line: \`--root\`, \`--state\`, \`--listen\`, \`--log-level\`.

Files are [TOML](https://toml.io). Tables merge key by key; everything else, lists included, is replaced. An unknown
key or a wrong value stops the start with an error that names the file, the line and the key.

- \`gantryd config default\` prints a complete file with the defaults.
- \`gantryd config check [--config FILE]\` checks the files without starting anything.

Everything that gantryd writes is below \`root\` and \`state\`, apart from control groups, the log directories that the
kubelet names, the embedded network's bridge and rules, and with CNI the cached results and names of namespaces (\`[cni]\`). Several daemons run side by side on one machine when their
\`root\`, \`state\` and, with the embedded network, \`bridge\` and \`subnet\` differ. A second daemon on the same directory is
refused.

`;

const text = await format(INTRODUCTION + configReference(), { parser: "markdown", printWidth: 110 });
writeFileSync(new URL("../docs/configuration.md", import.meta.url), text);
