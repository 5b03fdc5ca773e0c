/** Prints native/addon/files_format.h from its table. */
import { writeFileSync } from "node:fs";
import { filesFormatHeader } from "../src/native/files-format.ts";

writeFileSync(new URL("../native/addon/files_format.h", import.meta.url), filesFormatHeader());
