// The reference of the API, drawn from /openapi.json.

const openapi = await (await fetch("openapi.json")).json();
const main = document.getElementById("operations");

document.getElementById("title").textContent = `${openapi.info.title} ${openapi.info.version}: API reference`;
document.getElementById("about").textContent = openapi.info.description.replaceAll("`", "");

for (const [path, item] of Object.entries(openapi.paths)) {
  for (const [method, operation] of Object.entries(item)) {
    main.append(article(method, path, operation));
  }
}
main.append(heading("Schemas"));
for (const [name, schema] of Object.entries(openapi.components.schemas)) {
  main.append(element("h3", name), element("pre", JSON.stringify(schema, null, 2)));
}

function article(method, path, operation) {
  const drawn = document.createElement("article");
  drawn.id = operation.operationId;
  const title = heading(` ${path}`);
  title.prepend(Object.assign(element("span", method.toUpperCase()), { className: "method" }));
  drawn.append(title, element("p", operation.summary));
  if (operation.description) drawn.append(element("p", operation.description.replaceAll("`", "")));
  if (operation.parameters?.length) {
    const parameters = operation.parameters.map((held) => [held.name, held.in, shape(held.schema), held.description]);
    drawn.append(table(["Parameter", "In", "Form", "Meaning"], parameters));
  }
  const body = operation.requestBody?.content["application/json"];
  if (body) drawn.append(element("p", "The body of the request, as JSON:"), element("pre", JSON.stringify(body.example, null, 2)));
  const answers = Object.entries(operation.responses).map(([status, answer]) => [status, answer.description, Object.keys(answer.headers ?? {}).join(", ")]);
  drawn.append(table(["Answer", "Meaning", "Headers"], answers));
  const content = Object.values(operation.responses["200"]?.content ?? {})[0];
  if (content?.example !== undefined) {
    const example = typeof content.example === "string" ? content.example : JSON.stringify(content.example, null, 2);
    drawn.append(element("pre", example));
  }
  return drawn;
}

function shape(schema) {
  if (schema.enum) return schema.enum.map((value) => value ?? "null").join(" | ");
  const bounds = [schema.minimum, schema.maximum].map((bound) => bound ?? "").join(" to ").trim();
  return [schema.type, schema.format, bounds === "to" ? "" : bounds, "default" in schema ? `default ${schema.default}` : ""].filter(Boolean).join(", ");
}

function heading(text) {
  return element("h2", text);
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text ?? "";
  return made;
}

function table(head, body) {
  const drawn = document.createElement("table");
  const line = drawn.createTHead().insertRow();
  for (const text of head) line.append(element("th", text));
  const rows = drawn.createTBody();
  for (const cells of body) {
    const row = rows.insertRow();
    for (const text of cells) row.insertCell().textContent = text?.replaceAll("`", "") ?? "";
  }
  return drawn;
}
