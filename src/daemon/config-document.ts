/**
 * Shows the settings to people: the commented TOML of `gantryd config default`, and the reference in
 * docs/configuration.md. Both are made from config-schema.ts.
 */
import { stringify } from "smol-toml";
import * as v from "valibot";
import { configSchema } from "./config-schema.ts";

interface Setting {
  key: string;
  fallback: unknown;
  text: string;
}

interface Section {
  /** As in a TOML header; empty for the top of the file. */
  name: string;
  text: string;
  settings: Setting[];
}

/** All settings in the order of the schema; the entries of [runtimes] as those of the built-in handler. */
function sections(): Section[] {
  const top: Section = { name: "", text: "", settings: [] };
  const list: Section[] = [top];
  for (const [key, optional] of Object.entries(configSchema.entries)) {
    const schema = optional.wrapped;
    const text = v.getDescription(schema) ?? "";
    if (schema.type === "strict_object") list.push({ name: key, text, settings: settingsOf(schema.entries) });
    else if (schema.type === "record") {
      list.push({ name: `${key}.gantry`, text, settings: settingsOf(schema.value.entries) });
    } else top.settings.push({ key, fallback: optional.default, text });
  }
  return list;
}

type Entries = Record<string, v.OptionalSchema<v.GenericSchema, unknown>>;

function settingsOf(entries: Entries): Setting[] {
  return Object.entries(entries).map(([key, { wrapped, default: fallback }]) => ({
    key,
    fallback,
    text: v.getDescription(wrapped) ?? "",
  }));
}

function valueText(value: unknown): string {
  return stringify({ x: value }).trim().slice("x = ".length);
}

/** A complete configuration file that says what the defaults say. */
export function defaultConfigToml(): string {
  const lines = [
    "# Configuration of gantryd. Every line shows the default; what is not set here has it.",
    "# Files in conf.d/ beside this one are read after it, in the order of their names.",
  ];
  for (const { name, text, settings } of sections()) {
    lines.push("");
    if (name !== "") lines.push(...comment(text), `[${name}]`);
    for (const [index, setting] of settings.entries()) {
      if (index > 0) lines.push("");
      lines.push(...comment(setting.text), `${setting.key} = ${valueText(setting.fallback)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function comment(text: string): string[] {
  const lines: string[] = [];
  let line = "#";
  for (const word of text.split(" ")) {
    if (line.length + word.length > 100) {
      lines.push(line);
      line = "#";
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

/** The reference of the settings, in Markdown. */
export function configReference(): string {
  const lines: string[] = [];
  for (const { name, text, settings } of sections()) {
    lines.push(name === "" ? "## Top of the file" : `## [${name}]`, "");
    if (text !== "") lines.push(text, "");
    for (const setting of settings) {
      lines.push(
        `### ${setting.key}`,
        "",
        setting.text,
        "",
        `Default: \`${valueText(setting.fallback)}\``,
        "",
      );
    }
  }
  return lines.join("\n");
}

/** The reference as plain paragraphs, one a setting. */
export function configReferenceLines(): string[] {
  return sections().flatMap(({ name, settings }) =>
    settings.map(
      ({ key, text, fallback }) =>
        `${name === "" ? key : `[${name}] ${key}`} (default: ${valueText(fallback)}): ${text}`,
    ),
  );
}
