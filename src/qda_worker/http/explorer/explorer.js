"use strict";
// Reads the OpenAPI document beside this page, and sends what the form holds. All that comes from outside is put into
// the page as text. The token is kept in its field only.

const base = new URL(".", document.baseURI);
const at = (id) => document.getElementById(id);
const MAX_SHOWN = 200000; // characters of a response

let spec = { components: { schemas: {}, parameters: {} } };
let operations = [];

const follow = (value) => {
  if (!value || !value.$ref) return value;
  return value.$ref.split("/").slice(1).reduce((part, key) => part[key], spec);
};

const element = (name, text, attributes = {}) => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

const current = () => operations[at("operation").selectedIndex];

const bodyOf = (operation) => operation.requestBody?.content["application/json"];

const pathOf = (operation) =>
  operation.path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(at(`parameter-${name}`).value));

const addressOf = (operation) => new URL(pathOf(operation).slice(1), base);

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const readable = (value) =>
  JSON.stringify(value, null, 2).replace(/\[\s+-?[\d.eE+-]+(?:,\s+-?[\d.eE+-]+)*\s+\]/g, (list) =>
    list.replace(/\s+/g, " "),
  );

function typeName(schema) {
  const ref = schema.$ref;
  if (schema.type === "array") return `list of ${typeName(schema.items)}`;
  if (ref) return ref.split("/").pop();
  if (schema.oneOf) return schema.oneOf.map(typeName).join(", or ");
  if ("const" in schema) return JSON.stringify(schema.const);
  return [schema.type].flat().join(" or ");
}

function fieldList(schema) {
  const list = element("dl");
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const term = element("dt");
    term.append(element("code", name), ` ${typeName(field)}`);
    const text = element("dd", field.description);
    const inner = follow(field.type === "array" ? field.items : field);
    if (inner !== field && (inner.properties || inner.enum)) {
      const details = element("details");
      details.append(element("summary", typeName(field)), element("div"));
      // Filled when it is opened, because a message may contain itself.
      details.addEventListener("toggle", () => details.lastChild.replaceChildren(...schemaParts(inner)), { once: true });
      text.append(details);
    }
    list.append(term, text);
  }
  return list;
}

function schemaParts(schema) {
  const parts = schema.description ? [element("p", schema.description, { class: "lines" })] : [];
  return schema.properties ? [...parts, fieldList(schema)] : parts;
}

function showFields(operation) {
  const body = bodyOf(operation);
  const parts = [];
  const add = (title, schema) => {
    const details = element("details");
    details.append(element("summary", title), ...schemaParts(follow(schema)));
    parts.push(details);
  };
  if (body) add("Request", body.schema);
  for (const [status, response] of Object.entries(operation.responses)) {
    const content = response.content?.["application/json"];
    if (content) add(status === "default" ? "Error" : "Response", content.schema);
  }
  at("fields").replaceChildren(...parts);
}

function showCurl() {
  const operation = current();
  const parts = ["curl"];
  if (at("token").value) parts.push('-H "Authorization: Bearer $TOKEN"');
  if (bodyOf(operation)) parts.push("-H 'Content-Type: application/json'", `-d ${quote(at("body").value)}`);
  at("curl").textContent = `${parts.join(" ")} ${quote(addressOf(operation).href)}`;
}

function fillBody() {
  const body = bodyOf(current());
  at("body").value = body ? JSON.stringify(body.example ?? {}, null, 2) : "";
  showCurl();
}

function choose() {
  const operation = current();
  at("description").replaceChildren(
    ...(operation.description ?? operation.summary).split("\n\n").map((text) => element("p", text)),
  );
  const inputs = (operation.parameters ?? [])
    .map(follow)
    .filter((parameter) => parameter.in === "path")
    .map((parameter) => {
      const id = `parameter-${parameter.name}`;
      const field = element("p", "", { class: "field" });
      field.append(element("label", parameter.name, { for: id }), element("input", "", { id, value: parameter.example ?? "" }));
      return field;
    });
  at("parameters").replaceChildren(...inputs);
  at("body-field").hidden = at("reset").hidden = !bodyOf(operation);
  at("response").hidden = true;
  fillBody();
  showFields(operation);
}

function show(text, failed) {
  at("status").textContent = text;
  at("status").classList.toggle("failed", failed);
  at("response").hidden = false;
}

async function send(event) {
  event.preventDefault();
  const operation = current();
  const options = { method: operation.method.toUpperCase(), headers: {}, cache: "no-store" };
  if (at("token").value) options.headers.Authorization = `Bearer ${at("token").value}`;
  if (bodyOf(operation)) {
    options.headers["Content-Type"] = "application/json";
    options.body = at("body").value;
  }
  at("headers").textContent = at("answer").textContent = "";
  show("Sent; waiting for the response", false);
  const began = performance.now();
  try {
    const response = await fetch(addressOf(operation), options);
    const text = await response.text();
    const seconds = ((performance.now() - began) / 1000).toFixed(2);
    show(`${response.status} ${response.statusText} after ${seconds} s, ${text.length} characters`, !response.ok);
    at("headers").textContent = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    let shown = text;
    try {
      shown = readable(JSON.parse(text));
    } catch {
      // Not JSON: as it is.
    }
    at("answer").textContent =
      shown.length > MAX_SHOWN ? `${shown.slice(0, MAX_SHOWN)}\n… ${shown.length - MAX_SHOWN} more characters` : shown;
  } catch (error) {
    show(`No response: ${error.message}`, true);
  }
}

async function start() {
  const response = await fetch(new URL("openapi.json", base));
  if (!response.ok) throw new Error(`openapi.json: ${response.status} ${response.statusText}`);
  spec = await response.json();
  at("version").textContent = spec.info.version;
  const groups = new Map(spec.tags.map((tag) => [tag.name, element("optgroup", "", { label: tag.name })]));
  for (const [path, methods] of Object.entries(spec.paths))
    for (const [method, operation] of Object.entries(methods)) {
      operations.push({ ...operation, path, method });
      groups.get(operation.tags[0]).append(element("option", `${method.toUpperCase()} ${path}`));
    }
  // In the order of the groups, which is that of the list.
  const names = [...groups.keys()];
  operations.sort((one, other) => names.indexOf(one.tags[0]) - names.indexOf(other.tags[0]));
  at("operation").append(...[...groups.values()].filter((group) => group.children.length));
  at("request").hidden = at("more").hidden = false;
  choose();
}

at("operation").addEventListener("change", choose);
at("reset").addEventListener("click", fillBody);
at("request").addEventListener("submit", send);
at("request").addEventListener("input", (event) => event.target !== at("operation") && showCurl());
at("body").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("request").requestSubmit();
});
start().catch((error) => {
  at("problem").textContent = `The page could not read the methods: ${error.message}`;
});
