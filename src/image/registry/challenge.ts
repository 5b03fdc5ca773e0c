/**
 * WWW-Authenticate: the challenges of a 401 answer (RFC 9110, section 11.6.1). What does not parse is left out.
 */

export interface Challenge {
  /** Lower case: "bearer", "basic". */
  scheme: string;
  /** Names in lower case. */
  parameters: ReadonlyMap<string, string>;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const PARAMETER = new RegExp(`\\s*(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))\\s*`, "y");
const SCHEME = new RegExp(`\\s*(${TOKEN})(?:\\s+|$|(?=,))`, "y");

export function parseChallenges(header: string | string[] | undefined): Challenge[] {
  const challenges: Challenge[] = [];
  for (const line of typeof header === "string" ? [header] : (header ?? [])) {
    if (line.length <= 8192) parseLine(line, challenges);
  }
  return challenges;
}

function parseLine(line: string, challenges: Challenge[]): void {
  let at = 0;
  let parameters: Map<string, string> | undefined;
  while (at < line.length) {
    PARAMETER.lastIndex = at;
    const parameter = parameters && PARAMETER.exec(line);
    if (parameters && parameter) {
      const value = parameter[2]?.replace(/\\(.)/g, "$1") ?? parameter[3] ?? "";
      parameters.set((parameter[1] ?? "").toLowerCase(), value);
      at = PARAMETER.lastIndex;
    } else {
      SCHEME.lastIndex = at;
      const scheme = SCHEME.exec(line);
      if (!scheme) return;
      parameters = new Map();
      challenges.push({ scheme: (scheme[1] ?? "").toLowerCase(), parameters });
      at = SCHEME.lastIndex;
    }
    while (at < line.length && /[,\s]/.test(line[at] ?? "")) at += 1;
  }
}
