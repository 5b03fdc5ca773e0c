/** The addon's part "attribute": one extended attribute of one file (xattr(7)). */
import { addon } from "./addon.ts";

const native = addon as {
  getAttribute: (path: string, name: string) => string;
  setAttribute: (path: string, name: string, text: string) => void;
};

/** Its text, of at most 256 bytes; "" where there is none, no such file, or a filesystem without attributes. */
export function getAttribute(path: string, name: string): string {
  return native.getAttribute(path, name);
}

/** "" takes it away. @throws Error with `code`. */
export function setAttribute(path: string, name: string, text: string): void {
  native.setAttribute(path, name, text);
}
