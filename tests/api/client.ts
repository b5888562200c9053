// A client as a frontend has it, on the types of the description alone: `node client.js ADDRESS KEY`. What must not compile is
// marked so, and the compiler complains where it does.

import type { components, paths } from "./optview";

declare const process: { argv: string[] };

type Optimization = components["schemas"]["Optimization"];
type Json<Answer> = Answer extends { content: { "application/json": infer Body } } ? Body : never;
type Get<Path extends keyof paths> = NonNullable<paths[Path]["get"]>;
type Found<Path extends keyof paths> = Get<Path> extends { responses: { 200: infer Answer } } ? Json<Answer> : never;
type Query<Path extends keyof paths> = Get<Path> extends { parameters: { query?: infer Asked } } ? NonNullable<Asked> : never;

const [address = "", key = ""] = process.argv.slice(2);
const headers = { "x-api-key": key };

/** Reads a resource by GET. Each `{name}` of the path is replaced. */
async function get<Path extends keyof paths>(path: Path, names: Record<string, string>, query: Query<Path>): Promise<Found<Path>> {
  const replaced = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(names[name] ?? ""));
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) parameters.append(name, String(one));
  }
  const answer = await fetch(`${address}${replaced}?${parameters}`, { headers });
  if (!answer.ok) {
    const error: components["schemas"]["Error"] = await answer.json();
    throw new Error(`${answer.status} ${error.error_code}: ${error.message}`);
  }
  return answer.json();
}

/** Returns what a person sees of an optimization: the compiler knows each status. */
function meaning(view: Optimization): string {
  switch (view.status) {
    case "queued":
    case "running":
      return "under way";
    case "succeeded":
      return Object.keys(view.metrics ?? {}).join(", ");
    case "failed":
      return view.error ?? "no reason is known";
    case "canceled":
      return "canceled";
    case null:
      return "never submitted";
  }
}

const view = await get("/optimizations/{id}", { id: "opt-1" }, { wait: "0s" });
console.log(`${view.id} ${view.status}: ${meaning(view)}`);
// @ts-expect-error A view has no job.
view.job_id;
// @ts-expect-error It may have no name.
view.name.length;
// @ts-expect-error There is no such status.
view.status === "done";

let pages = 0;
let cursor: string | null = "";
while (cursor !== null) {
  const page: Found<"/optimizations"> = await get("/optimizations", {}, { sort: "name", status: ["succeeded", "failed", "null"], limit: 1, cursor });
  pages += page.optimizations.length;
  // @ts-expect-error A list with `summary=true` leaves the objectives out.
  page.optimizations[0]?.objectives.toString();
  cursor = page.next_cursor ?? null;
}
console.log(`pages: ${pages}`);
// @ts-expect-error There is no such order.
void (() => get("/optimizations", {}, { sort: "status" }));
// @ts-expect-error There is no such parameter.
void (() => get("/optimizations", {}, { statuss: ["failed"] }));

const asked: components["schemas"]["StatusQuery"] = { optimization_ids: ["opt-1", "opt-2", "opt-3", "opt-4"] };
const answer = await fetch(`${address}/optimizations/statuses`, { method: "POST", headers, body: JSON.stringify(asked) });
const statuses: components["schemas"]["Statuses"] = await answer.json();
console.log(`statuses: ${statuses.map(({ status }) => status ?? "none").join(" ")}`);

const summary = await get("/projects/{project_id}/optimizations/summary", { project_id: "prj-1" }, {});
console.log(`counts: ${Object.values(summary.statuses).reduce((sum, count) => sum + count)}`);
const caller = await get("/users/me", {}, {} as never);
console.log(caller.authorized_organization?.id);

// The address of a path that is not there, and a method that it has not.
// @ts-expect-error There is no such path.
void (() => get("/optimisations", {}, {}));
