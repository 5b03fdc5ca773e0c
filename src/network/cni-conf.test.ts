import assert from "node:assert/strict";
import { test } from "node:test";
import { podBandwidth } from "./cni-bandwidth.ts";
import { parseConfList, parseSingleConf, readKeptConf, settleConf } from "./cni-conf.ts";
import { cniResult, cniResultIps } from "./cni-result.ts";
import { fillTemplate } from "./cni-template.ts";
import { cniVersionAtLeast, spokenCniVersions } from "./cni-version.ts";

const list = (more: object = {}): string =>
  JSON.stringify({ cniVersion: "1.0.0", name: "net", plugins: [{ type: "bridge" }], ...more });

test("a list", () => {
  const source = list({ disableCheck: true, disableGC: "TRUE" });
  const conf = settleConf(parseConfList(source), "1.0.0");
  assert.deepEqual(
    [conf.name, conf.cniVersion, conf.disableCheck, conf.disableGC],
    ["net", "1.0.0", true, true],
  );
  assert.equal(conf.text, source);
  assert.deepEqual(conf.plugins, [{ type: "bridge", capabilities: [], fields: { type: "bridge" } }]);
});

test("capabilities are the runtime's, as is what begins with cni.dev/", () => {
  const plugin = {
    type: "x",
    capabilities: { dns: true, mac: false },
    "cni.dev/attachments": [],
    ipam: {},
    "other/": 1,
  };
  const [parsed] = parseConfList(list({ plugins: [plugin] })).plugins;
  assert.deepEqual(parsed, {
    type: "x",
    capabilities: ["dns"],
    fields: { type: "x", ipam: {}, "other/": 1 },
  });
});

test("one plugin is a list of itself", () => {
  const draft = parseSingleConf(`{"cniVersion":"0.3.1","name":"net","type":"ptp","ipam":{}}`);
  const conf = settleConf(draft, draft.versions[0] as string);
  assert.deepEqual(readKeptConf(conf.text), conf);
  assert.deepEqual(conf.plugins[0]?.fields["ipam"], {});
  assert.deepEqual(parseSingleConf(`{"name":"net","type":"ptp"}`).versions, ["0.1.0"]);
});

test("what is kept has the version and the plugins that were chosen", () => {
  const draft = parseConfList(list({ cniVersions: ["1.1.0", "0.4.0"] }));
  assert.deepEqual(draft.versions, ["1.1.0", "1.0.0", "0.4.0"]);
  const kept = readKeptConf(settleConf(draft, "0.4.0", [{ type: "portmap" }]).text);
  assert.equal(kept.cniVersion, "0.4.0");
  assert.deepEqual(
    kept.plugins.map(({ type }) => type),
    ["bridge", "portmap"],
  );
});

test("what is not valid", () => {
  const cases: [string, RegExp][] = [
    ["", /not JSON/],
    ["[]", /not a JSON object/],
    [`{"plugins":[{"type":"x"}]}`, /no name/],
    [list({ name: "../net" }), /"\.\.\/net" has characters/],
    [list({ name: 5 }), /no name/],
    [list({ plugins: {} }), /"plugins" is not a list/],
    [list({ plugins: [] }), /"plugins" is empty/],
    [list({ plugins: [5] }), /not an object/],
    [list({ plugins: [{}] }), /no "type"/],
    [list({ plugins: [{ type: "/bin/sh" }] }), /not the name of a program/],
    [list({ plugins: [{ type: "x", capabilities: [] }] }), /"capabilities" of plugin "x"/],
    [list({ disableGC: "maybe" }), /"disableGC" is neither/],
    [list({ cniVersion: "2.0.0" }), /\(2\.0\.0\) none is spoken here: up to 1\.1\.0/],
    [list({ cniVersion: "one" }), /none is spoken/],
    [list({ cniVersion: 1 }), /version 1 is not a text/],
    [list({ cniVersions: "1.0.0" }), /"cniVersions" is not a list/],
    [`{"name":"net","loadOnlyInlinedPlugins":true}`, /no "plugins"/],
  ];
  for (const [source, message] of cases)
    assert.throws(() => parseConfList(source), { kind: "failed-precondition", message }, source);
  assert.throws(() => parseSingleConf(list()), /must end in \.conflist/);
  assert.throws(() => settleConf(parseConfList(`{"name":"net"}`), "1.0.0"), /no plugins/);
});

test("versions are compared as numbers", () => {
  assert.deepEqual(spokenCniVersions(["0.10.0", "0.9.0", "1.1.0", "1.1.1", "x", "1.1.0"]), [
    "1.1.0",
    "0.10.0",
    "0.9.0",
  ]);
  assert.ok(cniVersionAtLeast("1.0.0", "0.4.0"));
  assert.ok(!cniVersionAtLeast("0.3.1", "0.4.0"));
  assert.ok(!cniVersionAtLeast("", "0.4.0"));
});

test("addresses of results of all versions", () => {
  const old = { cniVersion: "0.2.0", ip4: { ip: "10.1.0.2/16" }, ip6: { ip: "fd01::2/64" } };
  assert.deepEqual(cniResultIps(old, "eth0"), ["10.1.0.2", "fd01::2"]);
  const interfaces = [
    { name: "cni0" },
    { name: "veth1" },
    { name: "eth0", sandbox: "/run/x" },
    { name: "net1", sandbox: "/run/x" },
  ];
  const ips = [
    { version: "6", address: "fd01::3/64", interface: 2 },
    { address: "10.1.0.1/16", interface: 0 },
    { address: "10.2.0.3/16", interface: 3 },
    { address: "10.1.0.3/16", interface: 2 },
  ];
  assert.deepEqual(cniResultIps({ cniVersion: "0.4.0", interfaces, ips }, "eth0"), ["fd01::3", "10.1.0.3"]);
  assert.deepEqual(cniResultIps({ ips: [{ address: "10.1.0.4/16" }] }, "eth0"), ["10.1.0.4"]);
  assert.deepEqual(cniResultIps({}, "eth0"), []);
  assert.throws(() => cniResultIps({ ips: [{ address: "nowhere" }] }, "eth0"), /"nowhere" for an address/);
  assert.deepEqual(cniResult({ cniVersion: "" }, "0.4.0"), { cniVersion: "0.4.0" });
});

test("bandwidth in quantities", () => {
  const of = (value: string): number | undefined =>
    podBandwidth({ "kubernetes.io/ingress-bandwidth": value })?.ingressRate;
  assert.deepEqual(
    ["10M", "1.5Gi", "1e6", "1000", "2k", "1500000m"].map(of),
    [1e7, 1610612736, 1e6, 1000, 2000, 1500],
  );
  for (const value of ["", "x", "10 M", "-5M", "999", "2P", "1e99", "10MB"])
    assert.throws(() => of(value), { kind: "invalid-argument" }, value);
  assert.equal(podBandwidth({}), undefined);
  assert.deepEqual(podBandwidth({ "kubernetes.io/egress-bandwidth": "1M" }), {
    egressRate: 1e6,
    egressBurst: 0xffffffff,
  });
});

test("a template with what does not exist", () => {
  assert.equal(fillTemplate("{{ .PodCIDR }}!", ["10.0.0.0/24"]), "10.0.0.0/24!");
  for (const text of ["{{range .Routes}}", "{{.constructor}}", "{{PodCIDR}}"])
    assert.throws(() => fillTemplate(text, []), /none of PodCIDR, PodCIDRRanges, Routes/);
});
