// Runs a script in a page of another origin, `node example.mjs FILE LINES`, and prints what it logs, until that is so many lines.

import { readFile } from "node:fs/promises";
import { openPage, servePage } from "./chromium.mjs";

const [file, lines] = process.argv.slice(2);
const { page, complaints } = await openPage();
const { port } = await servePage('<!doctype html><script type="module" src="page.js"></script>', await readFile(file, "utf8"));
let left = Number(lines);
const finished = new Promise((resolve, reject) => {
  page.on("console", (message) => {
    if (message.type() !== "log") return;
    console.log(message.text());
    left -= 1;
    if (left === 0) resolve();
  });
  page.on("pageerror", reject);
});
await page.goto(`http://localhost:${port}/`);
await finished;
if (complaints.length) throw new Error(complaints.join("\n"));
process.exit(0);
