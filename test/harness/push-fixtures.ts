/** Command: pushes the fixture images into a registry. usage: push-fixtures.ts HOST:PORT */
import { pushFixtureImages } from "./fixture-images.ts";

const [registry] = process.argv.slice(2);
if (!registry) {
  console.error("usage: push-fixtures.ts HOST:PORT");
  process.exit(2);
}
await pushFixtureImages(registry, (name, digest) => console.log(`${name} ${digest}`));
