// A headless Chromium for the scripts of these tests, and the server of a page of another origin.

import { createServer } from "node:http";
import { chromium } from "playwright-core";

const LONGEST_MS = 120_000;

// Nothing may hang: a test that does says where.
setTimeout(() => {
  console.error(`it takes more than ${LONGEST_MS} ms`);
  process.exit(1);
}, LONGEST_MS).unref();

/** Opens a page, and collects what its console and the browser complain of, the breach of a policy above all. */
export async function openPage() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM });
  const page = await (await browser.newContext()).newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.addInitScript(() => addEventListener("securitypolicyviolation", (event) => {
    console.error(`policy: ${event.effectiveDirective}: ${event.blockedURI}`);
  }));
  return { browser, page, complaints };
}

/** Returns all that the page's browser keeps for later. */
export function kept(page) {
  return page.evaluate(async () => ({
    cookies: document.cookie,
    local: { ...localStorage },
    session: { ...sessionStorage },
    databases: await indexedDB.databases(),
    caches: await caches.keys(),
    address: location.search + location.hash,
    named: window.name,
    history: history.state,
  }));
}

/** Serves one page with one script. Returns its port and what stops it. */
export function servePage(html, script = "") {
  const server = createServer((request, response) => {
    const isScript = request.url === "/page.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html; charset=utf-8");
    response.end(isScript ? script : html);
  });
  return new Promise((resolve) => {
    server.listen(0, () => resolve({ port: server.address().port, stop: () => server.close() }));
  });
}
