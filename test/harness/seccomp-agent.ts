/**
 * A seccomp agent: listens at a unix socket for the descriptors of filters, and answers what their processes ask. It
 * says 4711 to getppid(2), refuses mkdir(2) with 99, and lets all else be done.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const AGENT = `
#define _GNU_SOURCE
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
static void answer(int listener) {
    for (;;) {
        struct seccomp_notif request;
        struct seccomp_notif_resp reply;
        memset(&request, 0, sizeof request);
        memset(&reply, 0, sizeof reply);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0) return;
        reply.id = request.id;
        if (request.data.nr == SYS_getppid) reply.val = 4711;
#ifdef SYS_mkdir
        else if (request.data.nr == SYS_mkdir) reply.error = -99;
#endif
        else if (request.data.nr == SYS_mkdirat) reply.error = -99;
        else reply.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
    }
}
int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc < 2) return 1;
    /* Its name is there when it listens. */
    snprintf(address.sun_path, sizeof address.sun_path, "%s.new", argv[1]);
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 8)) return 2;
    if (rename(address.sun_path, argv[1])) return 2;
    for (;;) {
        int connection = accept(server, NULL, NULL);
        char text[65536];
        union { struct cmsghdr header; char bytes[CMSG_SPACE(4 * sizeof(int))]; } control;
        struct iovec data = {text, sizeof text - 1};
        struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        ssize_t length = recvmsg(connection, &message, 0);
        if (length < 0 || message.msg_controllen < CMSG_LEN(sizeof(int))) return 3;
        int listener;
        memcpy(&listener, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof listener);
        /* All of it came with the descriptor, and the end follows. */
        ssize_t more = read(connection, text + length, sizeof text - 1 - (size_t)length);
        text[length] = 0;
        printf("%zd %s\\n", more, text);
        fflush(stdout);
        close(connection);
        if (fork() == 0) { close(server); answer(listener); return 0; }
        close(listener);
    }
}`;

export class SeccompAgent {
  readonly path: string;
  readonly #child: ChildProcess;
  readonly #states: string[] = [];

  private constructor(path: string, child: ChildProcess) {
    this.path = path;
    this.#child = child;
    if (child.stdout) createInterface({ input: child.stdout }).on("line", (line) => this.#states.push(line));
  }

  /** @param directory for program and socket; its path is short. */
  static async begin(directory: string): Promise<SeccompAgent> {
    const program = join(directory, "agent");
    const path = join(directory, "agent.sock");
    writeFileSync(`${program}.c`, AGENT);
    execFileSync("cc", ["-O1", "-o", program, `${program}.c`]);
    const agent = new SeccompAgent(path, spawn(program, [path], { stdio: ["ignore", "pipe", "inherit"] }));
    while (!existsSync(path) && agent.#child.exitCode === null) await sleep(5);
    return agent;
  }

  /** The next container process state that came. What follows it in the connection must be nothing. */
  async state(): Promise<Record<string, unknown>> {
    while (this.#states.length === 0 && this.#child.exitCode === null) await sleep(5);
    const line = this.#states.shift() ?? "agent ended";
    if (!line.startsWith("0 ")) throw new Error(`agent: ${line}`);
    return JSON.parse(line.slice(2)) as Record<string, unknown>;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
  }
}
