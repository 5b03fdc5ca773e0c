/** A registry in front of the real one that hangs, breaks off, or lets a client wait, as a test wants it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What becomes of one answer. */
export interface Mood {
  /** It comes only then. */
  waitFor?: Promise<void>;
  /** Only so many bytes of its body come, and then nothing, */
  silentAfter?: number;
  /** or the connection is cut. */
  cutAfter?: number;
  /** A document in its place. */
  instead?: { type: string; body: Buffer };
}

export class MoodyRegistry {
  /** Path and Range of each request, in order. */
  readonly requests: { path: string; range: string | undefined }[] = [];
  /** Decides of each request by its path, and how often that was asked for before. Default: as the real one. */
  mood: (path: string, before: number) => Mood | undefined = () => undefined;
  readonly #server: Server;
  readonly #upstream: () => string;

  private constructor(upstream: () => string) {
    this.#upstream = upstream;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
  }

  /** @param upstream tells "127.0.0.1:PORT" of the real one. */
  static async start(upstream: () => string): Promise<MoodyRegistry> {
    const registry = new MoodyRegistry(upstream);
    await new Promise<void>((resolve) => registry.#server.listen(0, "127.0.0.1", resolve));
    return registry;
  }

  /** "127.0.0.1:PORT" */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How often a path that contains the text was asked for. */
  count(text: string): number {
    return this.requests.filter(({ path }) => path.includes(text)).length;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "";
    const { range, accept } = request.headers;
    const mood = this.mood(path, this.count(path));
    this.requests.push({ path, range });
    await mood?.waitFor;
    if (mood?.instead) {
      response.writeHead(200, { "content-type": mood.instead.type }).end(mood.instead.body);
      return;
    }
    const answer = await fetch(`http://${this.#upstream()}${path}`, {
      method: request.method ?? "GET",
      headers: { ...(range === undefined ? {} : { range }), ...(accept === undefined ? {} : { accept }) },
    });
    const body = Buffer.from(await answer.arrayBuffer());
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    const first = mood?.silentAfter ?? mood?.cutAfter;
    if (first === undefined) response.end(body);
    else
      response.write(
        body.subarray(0, first),
        () => void (mood?.cutAfter !== undefined && response.destroy()),
      );
  }
}
