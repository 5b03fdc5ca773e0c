/** The pid file of --pid-file: whole or not there. */
import { renameSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

export function writePidFile(path: string, pid: number): void {
  const temporary = join(dirname(path), `.${basename(path)}`);
  writeFileSync(temporary, String(pid), { mode: 0o644 });
  renameSync(temporary, path);
}
