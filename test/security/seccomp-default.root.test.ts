/**
 * What the built-in seccomp profile keeps from a container with the default capabilities, as it does with the peers: new
 * user namespaces and mounts (CVE-2022-0492), AF_ALG in every way of asking for it (CVE-2026-31431), keyrings, bpf,
 * io_uring.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { compiled } from "../harness/debian-files.ts";
import { file } from "../harness/image-builder.ts";
import { bothWays } from "./way.ts";

const REFUSED = [
  "unshare(NEWUSER) unshare(NEWNS) clone(NEWUSER) mount umount2 pivot_root setns keyctl add_key request_key bpf",
  "perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register open_by_handle_at kexec_load init_module",
  "delete_module open_tree move_mount fsopen mount_setattr acct swapon settimeofday reboot",
  "socket(AF_ALG) socket(AF_VSOCK)",
]
  .join(" ")
  .split(" ");

let syscalls: Buffer;
before(async () => {
  syscalls = await compiled(readFileSync(join(import.meta.dirname, "programs/syscalls.c"), "utf8"));
});

bothWays((way) => {
  test("dangerous calls are refused, ordinary ones are not (CVE-2022-0492, CVE-2026-31431)", async () => {
    const image = [file("bin/syscalls", syscalls, 0o755)];
    const { output } = await way().run({ image, command: ["/bin/syscalls"], seccomp: true });
    const results = new Map(
      output
        .trim()
        .split("\n")
        .map((line) => line.split(/ (?=\S+$)/) as [string, string]),
    );
    for (const name of REFUSED) assert.equal(results.get(name), "EPERM", name);
    assert.equal(results.get("socket(AF_ALG|high bits)"), "EPERM");
    if (process.arch === "x64")
      for (const name of ["socketcall(AF_ALG)", "socketpaircall(AF_ALG)"])
        assert.match(results.get(name) ?? "", /^(?:EPERM|ENOSYS|EFAULT|EAFNOSUPPORT)$/, name);
    assert.equal(results.get("socketcall(AF_ALG)"), "EPERM");
    /* So that C libraries fall back to clone, whose flags can be looked at. */
    assert.equal(results.get("clone3"), "ENOSYS");
    for (const name of ["socket(AF_INET)", "socket(AF_UNIX)", "personality", "getpid"])
      assert.equal(results.get(name), "0", name);
  });

  test("the same calls without a profile are let through to the kernel, or the test shows nothing", async () => {
    const image = [file("bin/syscalls", syscalls, 0o755)];
    const { output } = await way().run({ image, command: ["/bin/syscalls"] });
    assert.match(output, /^clone3 (?!ENOSYS)/m);
    assert.doesNotMatch(output, /^socket\(AF_ALG\) EPERM$/m);
    assert.doesNotMatch(output, /^keyctl EPERM$/m);
  });
});
