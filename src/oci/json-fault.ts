/**
 * Where a text stops being JSON: the engine's own messages often name no place. Read only after a parse has failed, so
 * it need not be fast; and it recurses nowhere, as the text may be anything.
 */

/** Of a value that is being read: an object with the member's name, or a list with the index. */
type Frame = { kind: "object"; key: string } | { kind: "list"; index: number };

/** "line 3 column 5, at process.args.0: expected a value, found "}"" @param text no JSON. */
export function jsonFault(text: string): string {
  const reader = new Reader(text);
  const reason = reader.read() ?? "malformed";
  const before = text.slice(0, reader.at);
  const line = before.split("\n").length;
  const column = before.length - before.lastIndexOf("\n");
  const path = reader.path();
  return `line ${line} column ${column}${path === "" ? "" : `, at ${path}`}: ${reason}`;
}

/** Of a path that is told. */
const MAX_PATH = 20;

const SPACE = /[ \t\n\r]*/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const SCALAR = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

class Reader {
  at = 0;
  readonly #text: string;
  readonly #frames: Frame[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  path(): string {
    return this.#frames
      .slice(0, MAX_PATH)
      .map((frame) => (frame.kind === "object" ? frame.key : String(frame.index)))
      .filter((part) => part !== "")
      .join(".");
  }

  /** What is wrong at `at`; undefined where nothing is. */
  read(): string | undefined {
    for (;;) {
      const wrong = this.#value();
      if (wrong !== undefined) return wrong;
      // After a value: what it was in goes on or ends.
      for (;;) {
        this.#skip();
        const frame = this.#frames.at(-1);
        if (!frame) return this.at === this.#text.length ? undefined : this.#expected("the end");
        const found = this.#text[this.at];
        if (found === ",") {
          this.at++;
          if (frame.kind === "list") frame.index++;
          else {
            const name = this.#name(frame, "a member's name");
            if (name !== undefined) return name;
          }
          break;
        }
        if (found !== (frame.kind === "list" ? "]" : "}"))
          return this.#expected(frame.kind === "list" ? `"," or "]"` : `"," or "}"`);
        this.at++;
        this.#frames.pop();
      }
    }
  }

  /** A scalar whole, or the way to the first scalar in an object or a list. */
  #value(): string | undefined {
    for (;;) {
      this.#skip();
      const first = this.#text[this.at];
      if (first === "{") {
        this.at++;
        this.#skip();
        const frame: Frame = { kind: "object", key: "" };
        if (this.#text[this.at] === "}") {
          this.at++;
          return undefined;
        }
        this.#frames.push(frame);
        const name = this.#name(frame, `a member's name or "}"`);
        if (name !== undefined) return name;
        continue;
      }
      if (first === "[") {
        this.at++;
        this.#skip();
        if (this.#text[this.at] === "]") {
          this.at++;
          return undefined;
        }
        this.#frames.push({ kind: "list", index: 0 });
        continue;
      }
      if (first === '"') return this.#string() ? undefined : this.#badString();
      return this.#match(SCALAR) === undefined ? this.#expected("a value") : undefined;
    }
  }

  /** A member's name and the colon. */
  #name(frame: { key: string }, what: string): string | undefined {
    this.#skip();
    frame.key = "";
    if (this.#text[this.at] !== '"') return this.#expected(what);
    const start = this.at;
    if (!this.#string()) return this.#badString();
    frame.key = String(JSON.parse(this.#text.slice(start, this.at))).slice(0, 80);
    this.#skip();
    if (this.#text[this.at] !== ":") return this.#expected(`":"`);
    this.at++;
    return undefined;
  }

  /** A string from its first quote on; false where it is none, and `at` is then what is wrong. */
  #string(): boolean {
    for (this.at++; ;) {
      const character = this.#text[this.at];
      if (character === '"') {
        this.at++;
        return true;
      }
      if (character === "\\") {
        if (this.#match(ESCAPE) === undefined) return false;
      } else if (character === undefined || character < " ") return false;
      else this.at++;
    }
  }

  #badString(): string {
    return this.at >= this.#text.length ? "the string has no end" : this.#expected("a character of a string");
  }

  #skip(): void {
    this.#match(SPACE);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  #expected(what: string): string {
    const character = this.#text.at(this.at);
    const found = character === undefined ? "the end" : JSON.stringify(character);
    return `expected ${what}, found ${found}`;
  }
}
