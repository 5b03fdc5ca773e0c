import assert from "node:assert/strict";
import { test } from "node:test";
import { checkSysctls } from "./sysctl.ts";

const own = { network: true, ipc: true, uts: true };

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
      "kernel.domainname": "example.org",
    },
    own,
  );
  assert.deepEqual(
    checked.map(({ namespace, path, value }) => `${namespace} ${path} = ${value}`),
    [
      "network net/ipv4/ip_local_port_range = 1024\t65535",
      "network net/ipv4/conf/eth0.5/forwarding = 1",
      "network net/ipv4/conf/eth0.5/rp_filter = 0",
      "ipc kernel/shmmax = 1",
      "ipc kernel/msgmax = 2",
      "ipc kernel/sem = 32000 1024000000 500 32000",
      "ipc kernel/shm_rmid_forced = 0",
      "ipc fs/mqueue/msg_max = 10",
      "uts kernel/domainname = example.org",
    ],
  );
});

test("the host's own are refused, whatever way they are written", () => {
  const names = [
    "kernel.hostname",
    "kernel.core_pattern",
    "kernel/core_pattern",
    "kernel.semaphore",
    "kernel.shmx",
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
  const refusal = { kind: "invalid-argument", message: /is not allowed with the host's/ };
  const hostNetwork = { ...own, network: false };
  const hostIpc = { ...own, ipc: false };
  assert.throws(() => checkSysctls({ "net.ipv4.ip_forward": "1" }, hostNetwork), refusal);
  assert.throws(() => checkSysctls({ "net/ipv4/ip_forward": "1" }, hostNetwork), refusal);
  assert.throws(() => checkSysctls({ "kernel.domainname": "x" }, { ...own, uts: false }), refusal);
  for (const name of ["kernel.shmmax", "kernel.msgmax", "kernel.sem", "fs.mqueue.msg_max"]) {
    assert.throws(() => checkSysctls({ [name]: "1" }, hostIpc), refusal);
    assert.equal(checkSysctls({ [name]: "1" }, hostNetwork).length, 1);
  }
});

test("values are one line, without what could start a second parameter (CVE-2022-0811)", () => {
  const values = [
    "1\nkernel.core_pattern=|/x",
    "1+kernel.core_pattern=x",
    "1\0",
    "1\r",
    "\u2028",
    "x".repeat(4097),
  ];
  for (const value of values) {
    assert.throws(() => checkSysctls({ "net.ipv4.ip_forward": value }, own), { kind: "invalid-argument" });
  }
});
