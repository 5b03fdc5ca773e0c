/** Binding for security labels of files, which are extended attributes. */
import { wrapError } from "../base/errors.ts";
import { addon } from "./addon.ts";

const native = addon as {
  labelTree(path: string, attribute: string, value: string): Promise<void>;
};

/**
 * Gives a file, or a directory and all below it on the same filesystem, an attribute's value. Links are labelled
 * themselves and not followed; no component of the path may be one. Off the main thread.
 * @throws GantryError failed-precondition, naming the path.
 */
export async function labelTree(path: string, attribute: string, value: string): Promise<void> {
  try {
    await native.labelTree(path, attribute, value);
  } catch (error) {
    throw wrapError(`label ${path}`, error, "failed-precondition");
  }
}
