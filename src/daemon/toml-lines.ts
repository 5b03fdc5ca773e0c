/**
 * Finds the line on which a TOML document sets a key, so that a complaint about a value can name it.
 *
 * The parser (smol-toml) gives positions for syntax errors only. This scanner walks a document that the parser has
 * already accepted, so it judges nothing: it follows headers, dotted keys, inline tables, arrays and arrays of
 * tables, and skips over strings. It is not a parser of values.
 */

/** Keys of tables, and indices of arrays. */
export type KeyPath = readonly (string | number)[];

export interface TomlLines {
  /** The line (from 1) that sets the key, or the nearest table around it that has a line; 1 if there is none. */
  lineOf: (path: KeyPath) => number;
}

export function locateTomlKeys(text: string): TomlLines {
  const lines = new Scanner(text).scan();
  return {
    lineOf: (path) => {
      for (let length = path.length; length > 0; length--) {
        const line = lines.get(JSON.stringify(path.slice(0, length)));
        if (line !== undefined) return line;
      }
      return 1;
    },
  };
}

const BARE_KEY = /[A-Za-z0-9_-]+/y;
const ESCAPES: Record<string, string> = { b: "\b", t: "\t", n: "\n", f: "\f", r: "\r", e: "\u001b" };

class Scanner {
  readonly #text: string;
  readonly #lines = new Map<string, number>();
  /** How many elements an array of tables has so far, by its path. */
  readonly #elements = new Map<string, number>();
  #at = 0;
  #line = 1;

  constructor(text: string) {
    this.#text = text;
  }

  scan(): Map<string, number> {
    let table: KeyPath = [];
    for (;;) {
      this.#skipBlank(true);
      if (this.#at >= this.#text.length) return this.#lines;
      if (this.#text[this.#at] === "[") table = this.#header();
      else this.#keyValue(table);
    }
  }

  /** `[a.b]` or `[[a.b]]`; the path of the table that the following keys belong to. */
  #header(): KeyPath {
    const line = this.#line;
    const isArray = this.#text.startsWith("[[", this.#at);
    this.#at += isArray ? 2 : 1;
    const keys = this.#dottedKey();
    this.#at += isArray ? 2 : 1;
    const path: (string | number)[] = [];
    for (const [index, key] of keys.entries()) {
      path.push(key);
      const counter = JSON.stringify(path);
      const isLast = index === keys.length - 1;
      let count = this.#elements.get(counter);
      if (isArray && isLast) this.#elements.set(counter, (count = (count ?? 0) + 1));
      this.#remember(path, line);
      if (count !== undefined) path.push(count - 1);
    }
    this.#remember(path, line);
    return path;
  }

  #keyValue(table: KeyPath): void {
    const line = this.#line;
    const path = [...table];
    for (const key of this.#dottedKey()) {
      path.push(key);
      this.#remember(path, line);
    }
    this.#at += 1; // the "="
    this.#skipBlank(false);
    this.#value(path);
  }

  #value(path: KeyPath): void {
    const start = this.#text[this.#at];
    if (start === '"' || start === "'") this.#string();
    else if (start === "{") this.#group("}", () => this.#keyValue(path));
    else if (start === "[") {
      let index = 0;
      this.#group("]", () => {
        const element = [...path, index++];
        this.#remember(element, this.#line);
        this.#value(element);
      });
    } else {
      while (this.#at < this.#text.length && !/[,\]}#\n]/.test(this.#text.charAt(this.#at))) this.#at += 1;
    }
  }

  /** The elements of an array or inline table, up to its closing character. */
  #group(close: string, element: () => void): void {
    this.#at += 1;
    for (;;) {
      this.#skipBlank(true);
      const character = this.#text[this.#at];
      if (character === undefined) return;
      if (character === close || character === ",") this.#at += 1;
      else element();
      if (character === close) return;
    }
  }

  #dottedKey(): string[] {
    const keys: string[] = [];
    for (;;) {
      this.#skipBlank(false);
      const start = this.#text[this.#at];
      if (start === '"' || start === "'") keys.push(this.#string());
      else {
        BARE_KEY.lastIndex = this.#at;
        const key = BARE_KEY.exec(this.#text)?.[0] ?? "";
        this.#at += key.length;
        keys.push(key);
      }
      this.#skipBlank(false);
      if (this.#text[this.#at] !== ".") return keys;
      this.#at += 1;
    }
  }

  /** Any of the four kinds of string; its value (exact for what a key can hold). */
  #string(): string {
    const quote = this.#text.charAt(this.#at);
    const fence = this.#text.startsWith(quote.repeat(3), this.#at) ? quote.repeat(3) : quote;
    this.#at += fence.length;
    let value = "";
    while (this.#at < this.#text.length && !this.#text.startsWith(fence, this.#at)) {
      if (quote === '"' && this.#text[this.#at] === "\\") value += this.#escape();
      else value += this.#take();
    }
    this.#at += fence.length;
    // A multi-line string may end in up to two quotes of its own before the fence.
    while (fence.length === 3 && this.#text[this.#at] === quote) this.#at += 1;
    return value;
  }

  #escape(): string {
    this.#at += 1;
    const letter = this.#take();
    const digits = { x: 2, u: 4, U: 8 }[letter];
    if (digits === undefined) return ESCAPES[letter] ?? letter;
    const code = Number.parseInt(this.#text.slice(this.#at, this.#at + digits), 16);
    this.#at += digits;
    return String.fromCodePoint(code);
  }

  /** One character, counting lines. */
  #take(): string {
    const character = this.#text.charAt(this.#at++);
    if (character === "\n") this.#line += 1;
    return character;
  }

  #skipBlank(andLines: boolean): void {
    for (;;) {
      const character = this.#text[this.#at];
      if (character === " " || character === "\t" || character === "\r") this.#at += 1;
      else if (andLines && character === "\n") this.#take();
      else if (andLines && character === "#") {
        while (this.#at < this.#text.length && this.#text[this.#at] !== "\n") this.#at += 1;
      } else return;
    }
  }

  /** The first line that names a path is the one that counts. */
  #remember(path: KeyPath, line: number): void {
    const key = JSON.stringify(path);
    if (!this.#lines.has(key)) this.#lines.set(key, line);
  }
}
