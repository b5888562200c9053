// Checks `proto/asyncapi.yaml` with the parser that `asyncapi validate` runs, and its rules: node asyncapi.mjs FILE
//
// The command line itself is seven hundred packages, of which this needs the parser. Errors and warnings fail. The rules do not look
// at the examples of version 3, so those are compared with their schemas here.

import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";
import Ajv from "ajv";

const [file] = process.argv.slice(2);
const { document, diagnostics } = await new Parser().parse(await readFile(file, "utf8"), { source: file });
// 0 is an error, 1 a warning, and what is below gives advice.
const found = diagnostics
  .filter(({ severity }) => severity <= 1)
  .map(({ code, message, path, range }) => `line ${range.start.line + 1}: ${code}: ${message} (${path.join(".")})`);

const messages = document?.allMessages().all() ?? [];
const ajv = new Ajv({ strict: false, logger: false });
let examples = 0;
for (const message of messages) {
  if (!message.hasPayload()) continue;
  const isValid = ajv.compile(message.payload().json());
  for (const example of message.examples()) {
    examples += 1;
    if (!isValid(example.payload())) found.push(`${message.id()}: ${example.name()}: ${ajv.errorsText(isValid.errors)}`);
  }
}
// Nothing is wrong with a document in which nothing is left to check.
if (messages.length < 3 || examples < 15) found.push(`only ${messages.length} messages and ${examples} examples`);

for (const what of found) console.error(`${file}: ${what}`);
if (found.length > 0) process.exit(1);
console.log(`${file}: ${messages.length} messages and ${examples} examples are right`);
