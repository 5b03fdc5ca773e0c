import assert from "node:assert/strict";
import { test } from "node:test";
import { checkSysctls } from "./sysctl.ts";

const own = { hostNetwork: false, hostIpc: false };

test("namespaced sysctls become path segments, by namespace", () => {
  const checked = checkSysctls(
    {
      "net.ipv4.ip_local_port_range": "1024\t65535",
      "net/ipv4/conf/eth0.5/forwarding": "1",
      "net.ipv4.conf.eth0/5.rp_filter": "0",
      "kernel.shmmax": "1",
      "kernel.msgmax": "2",
      "kernel.sem": "32000 1024000000 500 32000",
      "kernel.shm_rmid_forced": "0",
      "fs.mqueue.msg_max": "10",
    },
    own,
  );
  assert.deepEqual(checked.net, [
    ["net/ipv4/ip_local_port_range", "1024\t65535"],
    ["net/ipv4/conf/eth0.5/forwarding", "1"],
    ["net/ipv4/conf/eth0.5/rp_filter", "0"],
  ]);
  assert.deepEqual(
    checked.ipc.map(([path]) => path),
    ["kernel/shmmax", "kernel/msgmax", "kernel/sem", "kernel/shm_rmid_forced", "fs/mqueue/msg_max"],
  );
});

test("the host's own are refused, whatever way they are written", () => {
  const names = [
    "kernel.hostname",
    "kernel.domainname",
    "kernel.core_pattern",
    "kernel/core_pattern",
    "kernel.semaphore",
    "kernel.shm/../core_pattern",
    "kernel.shmx.core_pattern",
    "vm.overcommit_memory",
    "fs.file-max",
    "fs.mqueue",
    "fs.mqueue.a.b",
    "net",
    "net.",
    ".net.ipv4",
    "net..ipv4",
    "net/../kernel/core_pattern",
    "net/./ipv4",
    "net/ipv4/../../kernel/core_pattern",
    "net.ipv4.x\0",
    "net.ipv4.x\n",
    "/net/ipv4/x",
    "",
  ];
  for (const name of names) {
    assert.throws(
      () => checkSysctls({ [name]: "1" }, own),
      { kind: "invalid-argument" },
      JSON.stringify(name),
    );
  }
});

test("with the host's namespaces nothing of them may be set (CVE-2022-0532)", () => {
  const hostNetwork = { hostNetwork: true, hostIpc: false };
  const hostIpc = { hostNetwork: false, hostIpc: true };
  const refusal = { kind: "invalid-argument", message: /is not allowed with the host's/ };
  assert.throws(() => checkSysctls({ "net.ipv4.ip_forward": "1" }, hostNetwork), refusal);
  assert.throws(() => checkSysctls({ "net/ipv4/ip_forward": "1" }, hostNetwork), refusal);
  for (const name of ["kernel.shmmax", "kernel.msgmax", "kernel.sem", "fs.mqueue.msg_max"]) {
    assert.throws(() => checkSysctls({ [name]: "1" }, hostIpc), refusal);
    assert.equal(checkSysctls({ [name]: "1" }, hostNetwork).ipc.length, 1);
  }
});

test("values are one line (CVE-2022-0811)", () => {
  for (const value of ["1\nkernel.core_pattern=|/x", "1\0", "1\r", "\u2028", "x".repeat(1025)]) {
    assert.throws(() => checkSysctls({ "net.ipv4.ip_forward": value }, own), { kind: "invalid-argument" });
  }
  assert.equal(
    checkSysctls({ "kernel.shm_rmid_forced": "1+kernel.core_pattern=x" }, own).ipc.length,
    1,
    "only ever one write",
  );
});
