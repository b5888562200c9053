// What somebody sees who opens optview in a browser: `node browser.mjs SCENARIO ADDRESS [KEY]`.
// A line `event ID WHAT` asks the test for an event; the other lines are the results that it expects.

import assert from "node:assert/strict";
import { kept, openPage, servePage } from "./chromium.mjs";

const NOTHING = { cookies: "", local: {}, session: {}, databases: [], caches: [], address: "", named: "", history: null };
// The browser itself reports an answer that is an error.
const REFUSAL = "Failed to load resource: the server responded with a status of 401 (Unauthorized)";

const [scenario, address, key] = process.argv.slice(2);
const { browser, page, complaints } = await openPage();
await { home, keys, "other-origin": otherOrigin }[scenario]();
await browser.close();
process.exit(0);

async function home() {
  await page.goto(address);
  await page.getByText("Live: what you see is current.").waitFor();
  assert.deepEqual(await shown("opt-1"), ["2026-03-01 09:01:00", "Fast charge opt-1", "running", "optimize", "prj-1", "0", ""]);
  await row("theirs").waitFor();
  assert.equal(await page.getByLabel("API key or token").isVisible(), false);
  console.log("shown");
  await page.evaluate(() => { window.isStillThere = true; });
  await follow();
  assert.equal(await page.evaluate(() => window.isStillThere), true, "the page was not loaded again");
  console.log("followed");
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/home.png` });

  await page.getByText("API reference").click();
  await page.getByText("GET /optimizations/{id}/transitions").waitFor();
  for (const heading of ["GET /optimizations", "POST /optimizations/statuses", "Schemas"]) {
    await page.getByRole("heading", { name: heading, exact: true }).waitFor();
  }
  await page.locator("#list_statuses pre", { hasText: "optimization_ids" }).waitFor();
  console.log("described");
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/docs.png` });
  assert.deepEqual(await kept(page), NOTHING);
  assert.deepEqual(await page.context().cookies(), []);
  console.log("kept nothing");

  assert.deepEqual(complaints, [], "no policy was broken and nothing failed");
  await page.evaluate(() => {
    document.body.append(Object.assign(document.createElement("script"), { textContent: "window.isBroken = true" }));
  });
  assert.equal(await page.evaluate(() => window.isBroken), undefined, "no script may stand in a page");
  const elsewhere = await servePage("elsewhere");
  const breach = page.waitForEvent("console", (message) => message.text().startsWith("policy: connect-src"));
  const read = await page.evaluate((port) => fetch(`http://localhost:${port}/`).then(() => "read", () => "blocked"), elsewhere.port);
  elsewhere.stop();
  await breach;
  assert.equal(read, "blocked", "a page may read from nowhere else");
  const broken = complaints.filter((text) => text.startsWith("policy: ")).map((text) => text.split(": ")[1]);
  assert.deepEqual(broken, ["script-src-elem", "connect-src"], "a breach would have shown");
  console.log("policy stands");
}

async function keys() {
  const field = page.getByLabel("API key or token");
  await page.goto(address);
  await field.waitFor();
  assert.match(await page.locator("#access-reason").textContent(), /key/);
  assert.equal(await page.locator("#optimizations tr").count(), 0);
  console.log("asked");
  await field.fill("wrong");
  await page.getByRole("button", { name: "Read" }).click();
  await page.locator("#access-reason", { hasText: "not known" }).waitFor();
  assert.equal(await page.locator("#optimizations tr").count(), 0);
  console.log("refused");
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/keys.png` });
  await field.fill(key);
  await page.getByRole("button", { name: "Read" }).click();
  await row("opt-1").waitFor();
  assert.equal(await field.isVisible(), false);
  assert.equal(await row("theirs").count(), 0, "another organization's is not shown");
  console.log("shown");
  await follow();
  console.log("followed");
  assert.deepEqual(await kept(page), NOTHING);
  assert.deepEqual(await page.context().cookies(), []);
  console.log("kept nothing");
  await page.reload();
  await field.waitFor();
  assert.equal(await field.inputValue(), "");
  assert.equal(await page.locator("#optimizations tr").count(), 0);
  assert.deepEqual(complaints.filter((text) => text !== REFUSAL), []);
  console.log("asked again");
}

/** A page of its own origin, which knows the address of optview and a key. */
async function otherOrigin() {
  const { port, stop } = await servePage(`<!doctype html><meta charset="utf-8"><title>Another origin</title>
    <p id="state"></p><p id="status"></p><script type="module" src="page.js"></script>`, `(${followingPage})()`);
  const told = (id) => page.locator(`#${id}`);
  await page.goto(`http://localhost:${port}/#${encodeURIComponent(JSON.stringify([address, key]))}`);
  await told("state").getByText(/^200 live "[0-9a-f]{16}" [0-9a-f]{32}, then 304$/).waitFor();
  console.log("read");
  for (const [event, status] of [[null, "running"], ["completed", "succeeded"], ["deleted", "gone"]]) {
    if (event) console.log(`event opt-1 ${event}`);
    await told("status").getByText(status, { exact: true }).waitFor();
    console.log(status);
  }
  assert.deepEqual(complaints, []);
  await page.goto(`http://localhost:${port}/?#${encodeURIComponent(JSON.stringify([address, "wrong"]))}`);
  await told("state").getByText(/^401 /).waitFor();
  console.log("refused without a key");
  // The same page by another name of this machine is of an origin that is not allowed.
  await page.goto(`http://127.0.0.1:${port}/#${encodeURIComponent(JSON.stringify([address, key]))}`);
  await told("state").getByText("TypeError: Failed to fetch").waitFor();
  console.log("refused elsewhere");
  stop();
}

/** Runs in the page. */
async function followingPage() {
  const [address, key] = JSON.parse(decodeURIComponent(location.hash.slice(1)));
  const headers = { authorization: `Bearer ${key}` };
  const tell = (id, text) => { document.getElementById(id).textContent = text; };
  try {
    const view = await fetch(`${address}/optimizations/opt-1`, { headers });
    const [state, etag, id] = ["x-optview-state", "etag", "x-correlation-id"].map((name) => view.headers.get(name));
    // The browser's own cache would answer with what it has.
    const again = await fetch(`${address}/optimizations/opt-1`, { headers: { ...headers, "if-none-match": etag ?? "" }, cache: "no-store" });
    tell("state", `${view.status} ${state} ${etag} ${id}, then ${again.status}`);
    const stream = await fetch(`${address}/optimizations/opt-1/events`, { headers });
    let rest = "";
    const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const events = (rest + read.value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = event.split("\n").find((line) => line.startsWith("data: "))?.slice(6);
        if (event.includes("event: gone")) tell("status", "gone");
        else if (data && JSON.parse(data).id) tell("status", JSON.parse(data).status);
      }
    }
  } catch (error) {
    tell("state", error);
  }
}

/** Has one optimization change and another one come, and waits until the page shows both. */
async function follow() {
  console.log("event opt-1 completed");
  await row("opt-1").locator(".status", { hasText: "succeeded" }).waitFor();
  console.log("event opt-2 created");
  await row("opt-2").waitFor();
  assert.equal(await page.locator("#optimizations tr").first().getAttribute("data-id"), "opt-2", "the newest is the first");
}

function row(id) {
  return page.locator(`#optimizations tr[data-id="${id}"]`);
}

async function shown(id) {
  await row(id).waitFor();
  return row(id).locator("td").allTextContents();
}
