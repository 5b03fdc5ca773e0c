/** Stop signals: the protocol's names (SIGNAL_SIGRTMINPLUS1) and the usual ones (SIGRTMIN+1). */
import { Signal, type Signal__Output } from "./generated/runtime/v1/Signal.ts";
import { choice } from "./request-field.ts";

const USUAL_NAMES = Object.fromEntries(
  Object.values(Signal).map((name) => [name, usualName(name)]),
) as Record<Signal__Output, string>;

const PROTOCOL_NAMES = new Map(
  Object.values(Signal)
    .filter((name) => name !== "SIGNAL_RUNTIME_DEFAULT")
    .map((name) => [usualName(name), name]),
);

function usualName(name: Signal__Output): string {
  return name.replace("SIGNAL_", "").replace("PLUS", "+").replace("MINUS", "-");
}

/** "SIGTERM" form; empty for SIGNAL_RUNTIME_DEFAULT. @throws invalid-argument for a number that is no signal. */
export function stopSignal(signal: Signal__Output, field: string): string {
  const name = choice(USUAL_NAMES, signal, field);
  return signal === "SIGNAL_RUNTIME_DEFAULT" ? "" : name;
}

/** The protocol's name of a signal; SIGNAL_RUNTIME_DEFAULT where it has none. */
export function stopSignalMessage(signal: string): Signal__Output {
  return PROTOCOL_NAMES.get(signal) ?? "SIGNAL_RUNTIME_DEFAULT";
}
