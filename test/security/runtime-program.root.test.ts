/**
 * The runtime's program as a container sees it before it is the container's own: nobody in a container opens it for
 * writing, whether it is running or not (CVE-2019-5736).
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { shimProgram } from "../../src/native/addon.ts";
import { compiled } from "../harness/debian-files.ts";
import { file } from "../harness/image-builder.ts";
import { bothWays } from "./way.ts";

const hash = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
/** Commands while the attacker looks: at least, and until it has seen one on its way in at the latest. */
const [FEW, ENOUGH] = [4, 400];

let overwrite: Buffer;
before(async () => {
  overwrite = await compiled(readFileSync(join(import.meta.dirname, "programs/overwrite.c"), "utf8"));
});

bothWays((way) => {
  test("a command, an exec or a script's interpreter that is /proc/self/exe is not writable (CVE-2019-5736)", async () => {
    const before = [hash(shimProgram), hash(process.execPath)];
    const image = [
      file("bin/overwrite", overwrite, 0o755),
      file("bin/script", "#!/proc/self/exe\n", 0o755),
      file("bin/itself", "#!/proc/self/exe launch\n", 0o755),
    ];
    for (const command of [["/proc/self/exe"], ["/bin/script"], ["/bin/itself"]])
      await way().run({ image, command });
    const running = await way().start({
      image,
      command: ["/bin/overwrite"],
      capabilities: ["SYS_PTRACE", "SYS_ADMIN", "DAC_READ_SEARCH"],
    });
    const commands = [["/proc/self/exe"], ["/bin/script"], ["/bin/itself"], ["/bin/true"]];
    const seen = async (): Promise<boolean> => (await running.output()).includes("foreign program");
    for (let round = 0; round < ENOUGH && !(round >= FEW && (await seen())); round++)
      await running.exec(commands[round % commands.length] ?? []);
    const output = await running.end();
    assert.match(output, /^ready$/m);
    /* It has seen the program, or this would show nothing. */
    assert.match(output, /^foreign program: (?:EROFS|ETXTBSY)$/m, output);
    assert.doesNotMatch(output, /OPENED/);
    assert.deepEqual([hash(shimProgram), hash(process.execPath)], before);
  });
});
