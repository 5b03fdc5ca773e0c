/**
 * The events of NRI: for each its call, its bit in a plugin's subscription, and whether a plugin built before the call
 * existed gets it as a StateChange instead.
 */
import { nriEnum } from "./protocol.ts";

const EVENTS = {
  RunPodSandbox: { event: "RUN_POD_SANDBOX", stateChange: true },
  UpdatePodSandbox: { event: "UPDATE_POD_SANDBOX", stateChange: false },
  PostUpdatePodSandbox: { event: "POST_UPDATE_POD_SANDBOX", stateChange: true },
  StopPodSandbox: { event: "STOP_POD_SANDBOX", stateChange: true },
  RemovePodSandbox: { event: "REMOVE_POD_SANDBOX", stateChange: true },
  CreateContainer: { event: "CREATE_CONTAINER", stateChange: false },
  PostCreateContainer: { event: "POST_CREATE_CONTAINER", stateChange: true },
  StartContainer: { event: "START_CONTAINER", stateChange: true },
  PostStartContainer: { event: "POST_START_CONTAINER", stateChange: true },
  UpdateContainer: { event: "UPDATE_CONTAINER", stateChange: false },
  PostUpdateContainer: { event: "POST_UPDATE_CONTAINER", stateChange: true },
  StopContainer: { event: "STOP_CONTAINER", stateChange: false },
  RemoveContainer: { event: "REMOVE_CONTAINER", stateChange: true },
  ValidateContainerAdjustment: { event: "VALIDATE_CONTAINER_ADJUSTMENT", stateChange: false },
} as const;

export type EventCall = keyof typeof EVENTS;

const NUMBERS = nriEnum("Event");

function number(call: EventCall): number {
  return NUMBERS[EVENTS[call].event] ?? 0;
}

/** The event's bit in the mask of ConfigureResponse. */
export function eventBit(call: EventCall): number {
  return 1 << (number(call) - 1);
}

export const ALL_EVENTS = (Object.keys(EVENTS) as EventCall[]).reduce(
  (mask, call) => mask | eventBit(call),
  0,
);

/** The event for a StateChange in place of the call, undefined where there is none. */
export function stateChangeEvent(call: EventCall): string | undefined {
  return EVENTS[call].stateChange ? EVENTS[call].event : undefined;
}
