import assert from "node:assert/strict";
import test from "node:test";
import { RequestTickets, type StreamRequest, TICKET_LIFETIME_MS } from "./request-ticket.ts";

const request: StreamRequest = { kind: "portforward", podSandboxId: "p", ports: [] };

test("a token is good once", () => {
  const tickets = new RequestTickets();
  const token = tickets.issue(request);
  assert.match(token, /^[\w-]{43}$/);
  assert.equal(tickets.redeem(token), request);
  assert.equal(tickets.redeem(token), undefined);
  assert.equal(tickets.redeem(""), undefined);
});

test("a token expires", () => {
  let now = 0;
  const tickets = new RequestTickets(() => now);
  const early = tickets.issue(request);
  now = TICKET_LIFETIME_MS - 1;
  const late = tickets.issue(request);
  assert.equal(tickets.redeem(early), request);
  now = 2 * TICKET_LIFETIME_MS - 1;
  assert.equal(tickets.redeem(late), undefined);
});

test("few are kept, and expired ones make room", () => {
  let now = 0;
  const tickets = new RequestTickets(() => now);
  for (let index = 0; index < 1000; index++) tickets.issue(request);
  assert.throws(() => tickets.issue(request), { kind: "resource-exhausted" });
  now = TICKET_LIFETIME_MS;
  const token = tickets.issue(request);
  assert.equal(tickets.redeem(token), request);
});

test("long commands are bounded together", () => {
  const tickets = new RequestTickets();
  const streams = { containerId: "c", tty: false, stdin: false, stdout: true, stderr: false };
  const large: StreamRequest = { kind: "exec", command: ["x".repeat(10 << 20)], ...streams };
  const first = tickets.issue(large);
  for (let more = 0; more < 2; more++) tickets.issue(large);
  assert.throws(() => tickets.issue(large), { kind: "resource-exhausted" });
  tickets.issue(request);
  tickets.redeem(first);
  tickets.issue(large);
});
