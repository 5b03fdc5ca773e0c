/**
 * How much longer than usual things may take here, before a test holds that they hang: GANTRY_TEST_PATIENCE, 1 unless
 * set. An emulated machine is many times slower than the tests' limits allow for.
 */
const given = Number(process.env["GANTRY_TEST_PATIENCE"] ?? "1");
const patience = Number.isFinite(given) && given >= 1 ? given : 1;

/** A limit of the tests, for this machine. */
export function patient(limitMs: number): number {
  return Math.round(limitMs * patience);
}
