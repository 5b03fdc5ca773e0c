/** The copying snapshotter. Needs root. */
import { createCopySnapshotter } from "./copy.ts";
import { snapshotterSuite } from "./snapshotter-suite.ts";

snapshotterSuite("copy", createCopySnapshotter);
