/**
 * What an Exec, Attach or PortForward has allowed, kept under a token until the client comes for it: once, soon, and
 * with the token, which is the only proof that a client has. So a token is 256 random bits.
 */
import { randomBytes } from "node:crypto";
import { GantryError } from "../../base/errors.ts";

/** The streams of a process that the client gets. */
export interface CommandRequest {
  /** Full id. */
  containerId: string;
  tty: boolean;
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

export type StreamRequest =
  | (CommandRequest & { kind: "exec"; command: string[] })
  | (CommandRequest & { kind: "attach" })
  | { kind: "portforward"; podSandboxId: string; ports: number[] };

export const TICKET_LIFETIME_MS = 60_000;
const MAX_TICKETS = 1000;
/** Of the commands that wait; a request may be as large as the CRI's largest message. */
const MAX_WAITING_CHARACTERS = 32 * 1024 * 1024;

interface Ticket {
  request: StreamRequest;
  characters: number;
  expiresAtMs: number;
}

export class RequestTickets {
  readonly #tickets = new Map<string, Ticket>();
  #characters = 0;
  readonly #now: () => number;

  /** @param now milliseconds of a clock that never goes back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** A token for the request. @throws resource-exhausted while too many wait to be used. */
  issue(request: StreamRequest): string {
    this.#forgetExpired();
    const characters = request.kind === "exec" ? request.command.join(" ").length : 0;
    if (this.#tickets.size >= MAX_TICKETS || this.#characters + characters > MAX_WAITING_CHARACTERS)
      throw new GantryError(
        "resource-exhausted",
        `too much waits for its clients: ${this.#tickets.size} streaming requests`,
      );
    const token = randomBytes(32).toString("base64url");
    this.#tickets.set(token, { request, characters, expiresAtMs: this.#now() + TICKET_LIFETIME_MS });
    this.#characters += characters;
    return token;
  }

  /** The request of the token, which is void from now on; undefined where it is unknown, used or expired. */
  redeem(token: string): StreamRequest | undefined {
    const ticket = this.#tickets.get(token);
    if (!ticket) return undefined;
    this.#forget(token, ticket);
    return ticket.expiresAtMs > this.#now() ? ticket.request : undefined;
  }

  /** In the order of their issue, which is that of their expiry. */
  #forgetExpired(): void {
    const now = this.#now();
    for (const [token, ticket] of this.#tickets) {
      if (ticket.expiresAtMs > now) return;
      this.#forget(token, ticket);
    }
  }

  #forget(token: string, { characters }: Ticket): void {
    this.#tickets.delete(token);
    this.#characters -= characters;
  }
}
