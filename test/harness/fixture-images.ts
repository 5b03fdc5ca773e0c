/**
 * Equivalents of the images that critest names, made from Debian's programs. The one that cannot be had is
 * test-image-digest by its fixed digest, which only the original has.
 */
import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { compiled, program, unpackDebian } from "./debian-files.ts";
import {
  directory,
  file,
  type ImageSettings,
  type Layer,
  type LayerEntry,
  layerOf,
  pushImage,
} from "./image-builder.ts";

const run = promisify(execFile);

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SHELL: ImageSettings = { Env: [PATH], Cmd: ["sh"] };

const PASSWD = [
  "root:x:0:0:root:/root:/bin/sh",
  "www-data:x:33:33:www-data:/var/www:/bin/false",
  "nobody:x:65534:65534:nobody:/home:/bin/false",
];
const GROUP = ["root:x:0:", "www-data:x:33:", "nogroup:x:65534:"];

const EFFECTIVE_UID = `
#include <stdio.h>
#include <unistd.h>
int main(void) { printf("Effective uid: %d\\n", geteuid()); return 0; }
`;

const PAUSE = `
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int n) { (void)n; _exit(0); }
static void reap(int n) { (void)n; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) { signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap); for (;;) pause(); }
`;

function nginxConfiguration(port: number): string {
  return `daemon off;
pid /var/run/nginx.pid;
user www-data;
error_log stderr;
events {}
http { access_log /dev/stdout; server { listen ${port}; root /usr/share/nginx/html; index index.html; } }
`;
}

function lines(rows: readonly string[]): string {
  return rows.map((row) => `${row}\n`).join("");
}

/**
 * Debian's dynamic busybox with its applets as hard links. Not the static one: that runs applets inside its shell
 * without an exec, which a case about masked paths forbids.
 */
export async function busyboxEntries(): Promise<LayerEntry[]> {
  const root = await unpackDebian("busybox");
  try {
    const box = join(root, "bin/busybox");
    const applets = (await run(box, ["--list"])).stdout
      .split("\n")
      .filter((name) => name && name !== "busybox");
    const directories =
      "bin etc dev proc sys root var var/www home usr usr/bin usr/sbin sbin lib var/run var/log run".split(
        " ",
      );
    // procps and util-linux have the options that busybox lacks.
    const own = [
      ...(await program("/usr/bin/pgrep", "bin/pgrep")),
      ...(await program("/usr/bin/ipcs", "bin/ipcs")),
    ];
    return [
      ...directories.map((path) => directory(path)),
      directory("tmp", 0o1777),
      ...(await program(box, "bin/busybox")),
      ...applets
        .filter((name) => name !== "pgrep" && name !== "ipcs")
        .map((name): LayerEntry => ({ path: `bin/${name}`, type: "Link", linkpath: "bin/busybox" })),
      ...own,
      file("bin/nproc.sh", "#!/bin/sh\nnproc\n", 0o755),
      file("etc/passwd", lines(PASSWD)),
      file("etc/group", lines(GROUP)),
      file("etc/hosts", "127.0.0.1 localhost\n"),
      file("etc/resolv.conf", ""),
    ];
  } finally {
    await rm(dirname(root), { recursive: true });
  }
}

async function nginxLayer(port: number): Promise<Layer> {
  const directories =
    "etc/nginx usr/share usr/share/nginx usr/share/nginx/html var/log/nginx var/lib var/lib/nginx".split(" ");
  return layerOf([
    ...directories.map((path) => directory(path)),
    ...(await program("/usr/sbin/nginx", "usr/sbin/nginx")),
    file("etc/nginx/nginx.conf", nginxConfiguration(port)),
    file("usr/share/nginx/html/index.html", "<h1>Welcome to nginx!</h1>\n"),
  ]);
}

/** Pushes the busybox image only; for tests that need no other. Returns its manifest digest. */
export async function pushBusybox(registry: string): Promise<string> {
  return pushImage(registry, "e2e-test-images/busybox:1.29-2", [layerOf(await busyboxEntries())], SHELL);
}

/** Pushes every image, and tells each name with its manifest digest. */
export async function pushFixtureImages(
  registry: string,
  pushed: (name: string, digest: string) => void,
): Promise<void> {
  const base = layerOf(await busyboxEntries());
  const push = async (name: string, layers: Layer[], settings: ImageSettings): Promise<void> =>
    pushed(name, await pushImage(registry, name, layers, settings));
  const marker = (text: string): Layer => layerOf([file(text, text)]);
  const nginx: ImageSettings = { Env: [PATH], Cmd: ["nginx"], StopSignal: "SIGQUIT" };
  const web = layerOf([directory("www"), file("www/index.html", "<h1>Welcome to nginx!</h1>It works!\n")]);
  const privileged = layerOf([file("nnp", await compiled(EFFECTIVE_UID), 0o4755)]);
  const httpd = "echo httpd starting; exec httpd -f -v -p 80 -h /www";

  await push("e2e-test-images/busybox:1.29-2", [base], SHELL);
  await push("e2e-test-images/nginx:1.14-2", [base, await nginxLayer(80)], {
    ...nginx,
    ExposedPorts: { "80/tcp": {} },
  });
  await push("e2e-test-images/nonewprivs:1.3", [base, privileged], { Env: [PATH], Cmd: ["/nnp"] });
  await push("e2e-test-images/httpd:2.4.39-4", [base, web], { Env: [PATH], Cmd: ["sh", "-c", httpd] });
  await push("k8s-staging-cri-tools/hostnet-nginx-amd64:latest", [base, await nginxLayer(12003)], nginx);

  const tools = "k8s-staging-cri-tools/";
  for (const name of ["latest:latest", "tag:test", "tag:all", "1:latest", "2:latest", "3:latest"])
    await push(`${tools}test-image-${name}`, [base, marker(name.replace(":", "-"))], SHELL);
  for (const tag of ["1", "2", "3"])
    await push(`${tools}test-image-tags:${tag}`, [base, marker("tags")], SHELL);
  await push(`${tools}test-image-digest:latest`, [base, marker("digest")], SHELL);
  for (const [name, User] of [
    ["uid", "1002"],
    ["username", "www-data"],
    ["uid-group", "1003:1003"],
    ["username-group", "www-data:www-data"],
  ] as const)
    await push(`${tools}test-image-user-${name}:latest`, [base], { ...SHELL, User });

  const accounts = layerOf([
    file("etc/passwd", lines([...PASSWD, "default-user:x:1000:1000::/home/default-user:/bin/sh"])),
    file(
      "etc/group",
      lines([...GROUP, "default-user:x:1000:", "group-defined-in-image:x:50000:default-user"]),
    ),
  ]);
  await push(`${tools}test-image-predefined-group:latest`, [base, accounts], { ...SHELL, User: "1000" });

  const pause = await compiled(PAUSE);
  for (const name of ["pause:3.9", "pause:3.10", "pause:3.10.1"])
    await push(name, [layerOf([file("pause", pause, 0o755), file("version", name)])], {
      Env: [PATH],
      Entrypoint: ["/pause"],
      User: "65535:65535",
    });
}
