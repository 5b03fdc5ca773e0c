/**
 * The entry of gantryd. It keeps what must happen before anything else: the umask, and that what only `serve` needs
 * (gRPC, the registry client) is not loaded to print a version.
 */
import { errorMessage, GantryError } from "../base/errors.ts";
import { parseCommandLine } from "./command-line.ts";

// Whatever the daemon makes is for it alone, unless a mode says otherwise.
process.umask(0o077);
// They are for this process (see bin/gantryd), and not for what it starts.
delete process.env["MALLOC_ARENA_MAX"];
delete process.env["MALLOC_TRIM_THRESHOLD_"];

try {
  await parseCommandLine(process.argv);
} catch (error) {
  const known = error instanceof GantryError;
  for (const line of (known
    ? errorMessage(error)
    : String(error instanceof Error ? error.stack : error)
  ).split("\n")) {
    process.stderr.write(`gantryd: ${line}\n`);
  }
  process.exit(1);
}
