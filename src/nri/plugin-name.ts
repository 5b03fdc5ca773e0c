/** The names of plugins: two digits that order them, and a name. */
import { GantryError } from "../base/errors.ts";

/** @throws invalid-argument */
export function checkPluginIndex(index: string): void {
  if (!/^[0-9]{2}$/.test(index))
    throw new GantryError("invalid-argument", `plugin index ${quoted(index)} is not two digits`);
}

/** @throws invalid-argument */
export function checkPluginName(name: string): void {
  if (!/^[-A-Za-z0-9_.+]{1,255}$/.test(name))
    throw new GantryError("invalid-argument", `plugin name ${quoted(name)} is empty or has other characters`);
}

/** The parts of a file's name, "10-logger". @throws invalid-argument */
export function parsePluginName(file: string): { index: string; base: string } {
  const dash = file.indexOf("-");
  if (dash < 0) throw new GantryError("invalid-argument", `plugin ${quoted(file)} is not named NN-NAME`);
  const parts = { index: file.slice(0, dash), base: file.slice(dash + 1) };
  checkPluginIndex(parts.index);
  checkPluginName(parts.base);
  return parts;
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
