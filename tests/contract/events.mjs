// Compares each event of a page as JSON with the same event as protobuf text, both as buf reads them: node events.mjs PAGE PROTO
// `buf` has to be on the PATH. That the JSON is understood is for `tests/suite/event_documents.rs`.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";

const [page, protos] = process.argv.slice(2);
const messages = { optimizations: "OptimizationEvent", jobs: "JobEvent", "multistart-runs": "MultistartRunEvent" };
const folder = mkdtempSync(join(tmpdir(), "events-"));
const image = join(folder, "image.binpb");
execFileSync("buf", ["build", protos, "-o", image]);

function read(format, subject, text) {
  const file = join(folder, `${subject}.${format}`);
  writeFileSync(file, text);
  const type = `optview.events.v1.${messages[subject.split(".")[0]]}`;
  const options = ["convert", image, "--type", type, "--from", `${file}#format=${format}`, "--to", "-#format=json"];
  return JSON.parse(execFileSync("buf", options, { encoding: "utf8" }));
}

const pairs = [...readFileSync(page, "utf8").matchAll(/\n```json (\S+)\n(.*?)\n```\n\n```textproto (\S+)\n(.*?)\n```/gs)];
const found = pairs
  .filter(([, json, asJson, text, asText]) => json !== text || !isDeepStrictEqual(read("json", json, asJson), read("txtpb", text, asText)))
  .map(([, json]) => `${json}: its JSON and its protobuf are different events`);
// Nothing is wrong with a page on which nothing is left to compare.
if (pairs.length < 15) found.push(`only ${pairs.length} events`);
if (found.length > 0) {
  console.error(found.map((line) => `${page}: ${line}`).join("\n"));
  process.exit(1);
}
console.log(`${page}: ${pairs.length} events are the same as JSON and as protobuf`);
