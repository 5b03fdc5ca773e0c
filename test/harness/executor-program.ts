/**
 * The file that Node runs as gantry-oci in tests: the sources, or the bundle that GANTRY_TEST_EXECUTOR names, where
 * compiling the sources anew for every command would take too long.
 */
import { join } from "node:path";

export const EXECUTOR_PROGRAM: string =
  process.env["GANTRY_TEST_EXECUTOR"] ?? join(import.meta.dirname, "../../src/oci/command/main.ts");
