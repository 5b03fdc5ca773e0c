import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger, type Logger } from "../base/logger.ts";
import { ServiceManager } from "./service-manager.ts";

/** Node has no datagram sockets of the unix family; Perl is on every Debian. */
const LISTENER = `
  use Socket;
  my $path = shift; $path =~ s/^@/\\0/;
  socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!";
  bind($s, pack("S a*", AF_UNIX, $path)) or die "bind: $!";
  $| = 1; print "bound\\n";
  for (1 .. 2) { recv($s, my $message, 4096, 0); $message =~ s/\\n/ /g; print "$message\\n"; }
`;

async function heardBy(address: string): Promise<string> {
  const listener = spawn("perl", ["-e", LISTENER, address], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  listener.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  await once(listener.stdout, "data");
  const environment: NodeJS.ProcessEnv = { NOTIFY_SOCKET: address };
  const manager = new ServiceManager(environment, silentLogger);
  assert.equal(environment["NOTIFY_SOCKET"], undefined);
  manager.ready();
  manager.stopping();
  await once(listener, "close");
  return output;
}

const EXPECTED = `bound\nREADY=1 MAINPID=${process.pid}\nSTOPPING=1\n`;

test("states arrive at a socket in the file system", async () => {
  const directory = mkdtempSync(join(tmpdir(), "gantry-notify-"));
  try {
    assert.equal(await heardBy(join(directory, "notify")), EXPECTED);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("states arrive at an abstract socket", async () => {
  assert.equal(await heardBy(`@gantry-notify-${process.pid}`), EXPECTED);
});

test("a manager that is not there is reported, and the daemon goes on", () => {
  const warnings: object[] = [];
  const log: Logger = { ...silentLogger, warn: (fields) => void warnings.push(fields) };
  new ServiceManager({ NOTIFY_SOCKET: "/nonexistent/notify" }, log).ready();
  assert.deepEqual(warnings, [
    { socket: "/nonexistent/notify", reason: "sendto /nonexistent/notify: ENOENT" },
  ]);
  new ServiceManager({}, log).ready();
  assert.equal(warnings.length, 1);
});
