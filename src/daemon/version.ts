/** The version of Gantry, from package.json, which a bundle carries with it. */
import manifest from "../../package.json" with { type: "json" };

export const VERSION: string = manifest.version;
