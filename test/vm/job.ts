/** What the host tells the machine to do, and what comes back. */

/** Exit status of a job that wants the machine booted again; guest/root/usr/local/sbin/gantry-guest knows it too. */
export const REBOOT = 194;

export type Step = "package" | "before-reboot" | "after-reboot" | "tests" | "critest";

/** /job/options.json */
export interface GuestOptions {
  steps: Step[];
  /** Patterns of test files. */
  tests: string[];
  /** One test file after the other. */
  serial: boolean;
  critest: {
    focus?: string;
    skip?: string;
    /** Path in the work tree. */
    binary?: string;
    driver: "systemd" | "cgroupfs";
    /** Debian's program that runs the containers, instead of the built-in executor. */
    handler?: string;
  };
}

/** /job/results/STEP.json */
export interface PartResult {
  passed: number;
  failed: number;
  skipped: number;
  failures: string[];
}

/** The parts that a user chooses from, and the steps that each of them is. */
export const PARTS: Readonly<Record<string, readonly Step[]>> = {
  package: ["package"],
  reboot: ["before-reboot", "after-reboot"],
  tests: ["tests"],
  critest: ["critest"],
};
