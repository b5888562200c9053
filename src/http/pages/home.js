// The live list of the newest optimizations. It reads the list's server-sent events with `fetch`, since an EventSource cannot send a key.

const SHOWN = 50;
const RETRY_MS = 2000;
const COLUMNS = ["created_at", "name", "status", "kind", "project_id", "run_count", "error"];

const rows = document.getElementById("optimizations");
const state = document.getElementById("state");
const access = document.getElementById("access");
const views = new Map();
// Kept in memory only: neither a cookie nor a storage of the browser has it.
let credentials = {};
let lastEventId = null;
let connection = null;

access.addEventListener("submit", (event) => {
  event.preventDefault();
  const key = document.getElementById("key").value.trim();
  const organization = document.getElementById("organization").value.trim();
  credentials = key ? { authorization: `Bearer ${key}` } : {};
  if (organization) credentials["x-organization-id"] = organization;
  access.hidden = true;
  restart();
});

function restart() {
  views.clear();
  lastEventId = null;
  show();
  connection?.abort();
  follow();
}

async function follow() {
  const mine = new AbortController();
  connection = mine;
  while (connection === mine) {
    try {
      const headers = { ...credentials, accept: "text/event-stream" };
      if (lastEventId) headers["last-event-id"] = lastEventId;
      const answer = await fetch(`optimizations/events?initial=true&limit=${SHOWN}`, { headers, signal: mine.signal, cache: "no-store" });
      if (!answer.ok) {
        if (await refused(answer)) return;
      } else {
        say(answer.headers.get("x-optview-state"));
        for await (const event of events(answer.body)) take(event);
        say(null, "The connection has ended; connecting again …");
      }
    } catch (error) {
      if (connection !== mine) return;
      say(null, `Not connected (${error.message}); trying again …`);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

// Returns true if only another key helps.
async function refused(answer) {
  const body = await answer.json().catch(() => ({ message: answer.statusText }));
  const asksForAccess = answer.status === 401 || answer.status === 404
    || (answer.status === 422 && body.detail?.some?.((mistake) => mistake.loc.includes("x-organization-id")));
  say(null, asksForAccess ? "Not connected." : `${body.message} (${answer.status})`);
  if (asksForAccess) {
    document.getElementById("access-reason").textContent = body.message;
    access.hidden = false;
  }
  return asksForAccess;
}

// Yields the events of a stream as the specification of server-sent events has them.
async function* events(body) {
  let rest = "";
  let event = { data: [] };
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data.length) yield { name: event.name, id: event.id, data: event.data.join("\n") };
        event = { data: [] };
      }
      const [field, value] = [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).replace(/^ /, "")];
      if (field === "data") event.data.push(value);
      if (field === "event") event.name = value;
      if (field === "id") event.id = value;
    }
  }
}

function take({ name, id, data }) {
  if (id) lastEventId = id;
  const value = JSON.parse(data);
  if (name === undefined) views.set(value.id, value);
  if (name === "removed") views.delete(value.id);
  if (name === "reset") views.clear();
  if (name === "state") say(value.state);
  if (name === undefined || name === "removed" || name === "initial") soon(show);
}

let isDue = false;
function soon(draw) {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    draw();
  });
}

function show() {
  const newest = [...views.values()]
    .sort((one, other) => other.created_at.localeCompare(one.created_at) || one.id.localeCompare(other.id));
  for (const old of newest.splice(SHOWN)) views.delete(old.id);
  rows.replaceChildren(...newest.map(row));
}

function row(view) {
  const line = document.createElement("tr");
  line.dataset.id = view.id;
  line.title = view.id;
  for (const column of COLUMNS) {
    const cell = line.insertCell();
    cell.textContent = column === "created_at" ? view.created_at.slice(0, 19).replace("T", " ") : view[column] ?? "";
    cell.className = column === "status" ? `status ${view.status ?? ""}` : column;
  }
  return line;
}

function say(instance, text) {
  const meanings = {
    live: "Live: what you see is current.",
    stale: "Stale: what you see may be old, since Kafka does not answer.",
    frozen: "Frozen: what you see is old and does not change.",
    catching_up: "Catching up: what you see may be old.",
  };
  state.textContent = text ?? meanings[instance] ?? `The instance is ${instance}.`;
}

follow();
