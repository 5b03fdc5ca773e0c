/**
 * The two annotations of a pod that have a meaning: kubernetes.io/ingress-bandwidth and kubernetes.io/egress-bandwidth,
 * in bits a second, as a Kubernetes quantity ("10M", "1.5Gi", "1e6"). The kubelet hands them to the runtime in no other
 * way, and the plugin "bandwidth" has them as its capability.
 */
import { GantryError } from "../base/errors.ts";

export interface CniBandwidth {
  ingressRate?: number;
  ingressBurst?: number;
  egressRate?: number;
  egressBurst?: number;
}

const SUFFIXES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** What Kubernetes allows: 1k to 1P. */
const LEAST = 1e3;
const MOST = 1e15;

/** The largest that the plugin takes: the rate alone is to limit. */
const BURST_BITS = 0xffff_ffff;

/** Undefined without the annotations. @throws GantryError invalid-argument that names the annotation. */
export function podBandwidth(annotations: Readonly<Record<string, string>>): CniBandwidth | undefined {
  const ingress = rate(annotations, "kubernetes.io/ingress-bandwidth");
  const egress = rate(annotations, "kubernetes.io/egress-bandwidth");
  if (ingress === undefined && egress === undefined) return undefined;
  return {
    ...(ingress !== undefined && { ingressRate: ingress, ingressBurst: BURST_BITS }),
    ...(egress !== undefined && { egressRate: egress, egressBurst: BURST_BITS }),
  };
}

function rate(annotations: Readonly<Record<string, string>>, name: string): number | undefined {
  const text = annotations[name];
  if (text === undefined) return undefined;
  const match = /^\+?(\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)$/.exec(text);
  if (!match)
    throw new GantryError("invalid-argument", `annotation ${name}: ${JSON.stringify(text)} is no quantity`);
  const [, digits = "", exponent = "0", suffix = ""] = match;
  const value = Math.ceil(Number(digits) * 10 ** Number(exponent) * (SUFFIXES[suffix] ?? 1));
  if (value < LEAST || value > MOST)
    throw new GantryError("invalid-argument", `annotation ${name}: ${text} is not between 1k and 1P`);
  return value;
}
