/**
 * Platforms: which entry of an index runs here. Names are Go's (GOOS, GOARCH), as OCI's image-index.md has them.
 *
 * A machine runs its own architecture first, then older variants of it, then the 32-bit one that its CPU usually
 * also executes. An entry without a platform is the last resort; "unknown/unknown" entries are attestations.
 */
import { arch } from "node:process";

export interface Platform {
  os: string;
  architecture: string;
  /** Empty for none. */
  variant: string;
}

const GO_ARCHITECTURES: Readonly<Record<string, Platform>> = {
  x64: { os: "linux", architecture: "amd64", variant: "" },
  arm64: { os: "linux", architecture: "arm64", variant: "v8" },
  arm: { os: "linux", architecture: "arm", variant: "v7" },
  ia32: { os: "linux", architecture: "386", variant: "" },
  ppc64: { os: "linux", architecture: "ppc64le", variant: "" },
};

/** The platform of this machine. */
export function hostPlatform(): Platform {
  return GO_ARCHITECTURES[arch] ?? { os: "linux", architecture: arch, variant: "" };
}

/** "linux/arm/v7". */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== "").join("/");
}

function normalise(platform: Platform): Platform {
  const aliases: Readonly<Record<string, string>> = {
    x86_64: "amd64",
    "x86-64": "amd64",
    aarch64: "arm64",
    armhf: "arm",
    i386: "386",
  };
  const architecture = aliases[platform.architecture.toLowerCase()] ?? platform.architecture.toLowerCase();
  let variant = platform.variant.toLowerCase().replace(/^(?=[0-9])/, "v");
  if (architecture === "arm64" && variant === "") variant = "v8";
  if (architecture === "arm" && variant === "") variant = "v7";
  if (architecture === "amd64" && variant === "v1") variant = "";
  return { os: platform.os.toLowerCase(), architecture, variant };
}

/** What the host runs, best first, normalised. */
function candidates(host: Platform): Platform[] {
  const own = normalise(host);
  const of = (architecture: string, variant: string): Platform => ({ os: own.os, architecture, variant });
  const down = (architecture: string, newest: number, oldest: number): Platform[] =>
    Array.from({ length: Math.max(0, newest - oldest + 1) }, (_, i) => of(architecture, `v${newest - i}`));
  const level = Number(/^v([0-9]+)/.exec(own.variant)?.[1] ?? 0);
  switch (own.architecture) {
    case "amd64":
      return [...down("amd64", level, 2), of("amd64", ""), of("386", "")];
    case "arm64":
      return [...(level > 8 ? [own] : []), of("arm64", "v8"), ...down("arm", 8, 5)];
    case "arm":
      return down("arm", level, 5);
    default:
      return [own];
  }
}

/** The entry that suits the host best, the first of equals; undefined where none runs on it. */
export function choosePlatform<T extends { platform: Platform | undefined }>(
  entries: readonly T[],
  host: Platform,
): T | undefined {
  const wanted = candidates(host).map(formatPlatform);
  let best: T | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    const index = entry.platform ? wanted.indexOf(formatPlatform(normalise(entry.platform))) : wanted.length;
    const rank = index < 0 ? Number.POSITIVE_INFINITY : index;
    if (rank < bestRank) {
      best = entry;
      bestRank = rank;
    }
  }
  return best;
}
