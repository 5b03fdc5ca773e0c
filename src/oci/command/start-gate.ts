/**
 * The gate at which a created container waits for `start`: a fifo, from which its process reads one byte. The process
 * keeps the fifo open until its exec, and leaves there what has failed, if something has (report_failure in
 * native/executor/interpret.c).
 */
import { closeSync, constants, openSync, readSync, rmSync, writeSync } from "node:fs";
import { sleep } from "../../base/abort.ts";
import { errnoCode, GantryError } from "../../base/errors.ts";
import {
  decodePlanError,
  explainLateError,
  LONGEST_PLAN_ERROR_BYTES,
  PLAN_ERROR_BYTES,
} from "../plan-explain.ts";

/**
 * Opens the gate and removes it. Having waited, resolves to what has failed behind it, if something has.
 * @param wait until the command has been executed.
 * @throws GantryError failed-precondition when the container has stopped.
 */
export async function openGate(fifo: string, wait: boolean): Promise<GantryError | undefined> {
  const fd = openWriter(fifo);
  if (fd === undefined) throw stopped();
  try {
    writeSync(fd, "\n");
    rmSync(fifo);
    return wait ? await failure(`/proc/self/fd/${fd}`) : undefined;
  } finally {
    closeSync(fd);
  }
}

const stopped = (): GantryError =>
  new GantryError("failed-precondition", "cannot start a container that has stopped");

/** Undefined when nobody reads. */
function openWriter(fifo: string): number | undefined {
  try {
    return openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoCode(error) === "ENXIO") return undefined;
    throw error;
  }
}

async function failure(fifo: string): Promise<GantryError | undefined> {
  for (let fd = openWriter(fifo); fd !== undefined; fd = openWriter(fifo)) {
    closeSync(fd);
    await sleep(1);
  }
  const left = readAll(fifo);
  if (left.length >= PLAN_ERROR_BYTES) return explainLateError(decodePlanError(left));
  // Our own byte: the process has been killed before it could read it.
  if (left.length > 0) throw stopped();
  return undefined;
}

function readAll(fifo: string): Buffer {
  const fd = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const bytes = Buffer.alloc(LONGEST_PLAN_ERROR_BYTES);
    return bytes.subarray(0, readSync(fd, bytes));
  } catch (error) {
    if (errnoCode(error) === "EAGAIN") return Buffer.alloc(0);
    throw error;
  } finally {
    closeSync(fd);
  }
}
