/** The Debian package: what it holds, and that the programs in it run from where it puts them. */
import assert from "node:assert/strict";
import { readFileSync, readlinkSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { buildPackage } from "../scripts/package.ts";
import { runCommand } from "./harness/command.ts";

describe("the Debian package", () => {
  let directory: string;
  let path: string;
  let root: string;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "gantry-package-test-"));
    path = await buildPackage(join(directory, "out"), "none");
    root = join(directory, "root");
    const { code, stderr } = await runCommand("dpkg-deb", ["-x", path, root]);
    assert.equal(code, 0, stderr);
  });
  after(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  test("names what it is and needs, and keeps the configuration as the operator's", async () => {
    const { stdout } = await runCommand("dpkg-deb", ["--info", path, "control", "conffiles"]);
    assert.match(stdout, /^Package: gantry$/m);
    assert.match(stdout, /^Depends: libc6/m);
    assert.match(stdout, /^\/etc\/gantry\/config\.toml$/m);
  });

  test("has every file owned by root and writable by root alone", async () => {
    const { stdout } = await runCommand("dpkg-deb", ["-c", path]);
    const lines = stdout.trim().split("\n");
    assert.ok(lines.length > 20, stdout);
    for (const line of lines)
      assert.match(line, /^(?:[-d]r.xr.xr.x|-rw-r--r--|lrwxrwxrwx) root\/root /, line);
  });

  test("runs its programs from where it puts them, under its own Node", async () => {
    assert.equal(readlinkSync(join(root, "usr/bin/gantryd")), "../lib/gantry/bin/gantryd");
    const check = await runCommand(join(root, "usr/bin/gantryd"), [
      "config",
      "check",
      "--config",
      join(root, "etc/gantry/config.toml"),
    ]);
    assert.equal(check.code, 0, check.stderr);
    const version = await runCommand(join(root, "usr/bin/gantry-oci"), ["--version"]);
    assert.match(version.stdout, /spec: /, version.stderr);
  });

  test("starts the daemon, which finds its native half", async () => {
    const state = join(directory, "state");
    const { stderr, code } = await runCommand(
      join(root, "usr/bin/gantryd"),
      ["--root", join(directory, "data"), "--state", state, "--listen", `unix://${"/x".repeat(80)}`],
      { timeoutMs: 60_000 },
    );
    // It gets as far as its socket, whose path is too long for one.
    assert.equal(code, 1, stderr);
    assert.match(stderr, /socket|path/i);
    assert.doesNotMatch(stderr, /native files not found|Cannot find module/);
  });

  test("has manual pages and completions made from the command lines", async () => {
    const page = (name: string): string =>
      gunzipSync(readFileSync(join(root, "usr/share/man", name))).toString();
    assert.match(page("man8/gantryd.8.gz"), /config check/);
    assert.match(page("man8/gantry-oci.8.gz"), /\\-\\-console\\-socket/);
    assert.match(page("man5/gantry.toml.5.gz"), /\[network\] mode/);
    for (const program of ["gantryd", "gantry-oci"]) {
      const file = join(root, "usr/share/bash-completion/completions", program);
      const { code, stderr } = await runCommand("bash", ["-n", file]);
      assert.equal(code, 0, stderr);
    }
    const { stdout } = await runCommand("bash", [
      "-c",
      `source ${join(root, "usr/share/bash-completion/completions/gantryd")};
       COMP_WORDS=(gantryd config ""); COMP_CWORD=2; _gantryd; echo "\${COMPREPLY[@]}"`,
    ]);
    assert.deepEqual(stdout.trim().split(" ").slice(0, 2), ["default", "check"]);
  });

  test("a purge keeps everything while a pod without containers is left, or a volume is mounted", async () => {
    const postrm = join(import.meta.dirname, "../deploy/debian/postrm");
    // In a mount namespace of its own nothing of the host is in its way.
    const { code, stdout, stderr } = await runCommand("unshare", [
      "--mount",
      "sh",
      "-ec",
      `for place in /run /var/lib /sys/kernel/security; do mount -t tmpfs none $place; done
       mkdir -p /run/gantry/pods/1 /var/lib/gantry/content /var/lib/volume
       touch /run/gantry/pods/1/net /var/lib/gantry/content/blob /var/lib/volume/data
       mount --bind /proc/self/ns/net /run/gantry/pods/1/net
       sh ${postrm} purge; echo "with a pod: $(ls /var/lib/gantry)"
       umount /run/gantry/pods/1/net
       mount --bind /var/lib/volume /var/lib/gantry/content
       sh ${postrm} purge; echo "with a volume: $(ls /var/lib/volume)"
       umount /var/lib/gantry/content
       sh ${postrm} purge; ls /run/gantry /var/lib/gantry || true`,
    ]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout, "with a pod: content\nwith a volume: data\n");
    assert.equal(stderr.match(/is kept/g)?.length, 2, stderr);
  });

  test("has maintainer scripts that a shell can read", async () => {
    for (const script of ["preinst", "postinst", "prerm", "postrm"]) {
      const { stdout } = await runCommand("dpkg-deb", ["--info", path, script]);
      assert.match(stdout, /^#!\/bin\/sh/);
    }
    assert.ok(statSync(path).size > 1_000_000);
  });
});
