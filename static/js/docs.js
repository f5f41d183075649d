// Shows openapi.json of the server that the page came from, and sends requests to it.

const METHODS = ["get", "post", "put", "patch", "delete", "options"];
const SHOWN_CHARACTERS = 20000;

/** An element with properties and children; text is never taken for markup. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** The schema that a reference points to. */
function resolved(schema, description) {
  const name = schema?.$ref?.split("/").pop();
  return name ? (description.components.schemas[name] ?? {}) : (schema ?? {});
}

/** The type of a schema in a few words. */
function typeOf(schema, description) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map((choice) => typeOf(choice, description)).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {}, description)}`;
  return schema.type ?? "anything";
}

/** What is said of a field besides its type. */
function remarks(schema) {
  const said = [];
  if (schema.default !== undefined && schema.default !== null) said.push(`default ${JSON.stringify(schema.default)}`);
  if (schema.minimum !== undefined) said.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) said.push(`to ${schema.maximum}`);
  if (schema.maxLength !== undefined) said.push(`at most ${schema.maxLength} characters`);
  if (schema.maxItems !== undefined) said.push(`at most ${schema.maxItems}`);
  return [schema.description, said.join(", ")].filter(Boolean).join(" \u2013 ");
}

function fieldRow(name, schema, required, description) {
  const type = `${typeOf(schema, description)}${required ? "" : ", may be left out"}`;
  return element(
    "tr",
    {},
    element("td", {}, element("code", { textContent: name })),
    element("td", {}, type, element("div", { className: "soft", textContent: remarks(schema) })),
  );
}

/** The fields of an object, or what else a schema is. */
function fields(schema, description) {
  const whole = resolved(schema, description);
  const choices = whole.anyOf ?? whole.oneOf;
  if (choices) return element("div", {}, ...choices.map((choice) => fields(choice, description)));
  if (!whole.properties) return element("p", { className: "soft", textContent: typeOf(schema, description) });
  const rows = Object.entries(whole.properties).map(([name, inner]) =>
    fieldRow(name, inner, whole.required?.includes(name), description),
  );
  return element("table", {}, element("tbody", {}, ...rows));
}

/** A value that fits a schema, to begin a request with. */
function example(schema, description, depth = 0) {
  const whole = resolved(schema, description);
  if (whole.default !== undefined) return whole.default;
  if (whole.const !== undefined) return whole.const;
  if (whole.enum) return whole.enum[0];
  const choices = whole.anyOf ?? whole.oneOf;
  if (choices) return example(choices[0], description, depth);
  if (whole.type === "object" && depth < 4) {
    const names = whole.required ?? [];
    return Object.fromEntries(names.map((name) => [name, example(whole.properties?.[name], description, depth + 1)]));
  }
  return { array: [], boolean: false, integer: whole.minimum ?? 0, number: whole.minimum ?? 0, object: {} }[whole.type] ?? "";
}

function bodyParts(operation, description) {
  const parts = [];
  for (const [type, media] of Object.entries(operation.requestBody?.content ?? {})) {
    parts.push(element("h3", { textContent: `Body: ${type}` }));
    if (media.schema) parts.push(fields(media.schema, description));
  }
  return parts;
}

function answerParts(operation, description) {
  const rows = Object.entries(operation.responses).map(([status, answer]) => {
    const types = Object.entries(answer.content ?? {}).map(([type, media]) =>
      media.schema?.$ref ? `${type}: ${typeOf(media.schema, description)}` : type,
    );
    return element(
      "tr",
      {},
      element("td", {}, element("code", { textContent: status })),
      element("td", {}, answer.description, element("div", { className: "soft", textContent: types.join(", ") })),
    );
  });
  return [element("h3", { textContent: "Answers" }), element("table", {}, element("tbody", {}, ...rows))];
}

function parameterParts(operation, description, inputs) {
  if (!operation.parameters) return [];
  const rows = operation.parameters.map((parameter) => {
    const input = element("input", { ariaLabel: parameter.name, placeholder: parameter.schema.default ?? "" });
    inputs.push([parameter, input]);
    const row = fieldRow(parameter.name, parameter.schema, parameter.required, description);
    row.append(element("td", {}, input));
    return row;
  });
  return [element("h3", { textContent: "Parameters" }), element("table", {}, element("tbody", {}, ...rows))];
}

/** The address of a request as it was filled in. */
function address(path, inputs) {
  const query = new URLSearchParams();
  for (const [parameter, input] of inputs) {
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value) query.set(parameter.name, input.value);
  }
  const asked = query.toString();
  return `.${path}${asked ? `?${asked}` : ""}`;
}

async function send(method, path, inputs, body, output) {
  const headers = {};
  const key = document.getElementById("key").value.trim();
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  output.hidden = false;
  output.textContent = "\u2026";
  try {
    const response = await fetch(address(path, inputs), { method: method.toUpperCase(), headers, body: body?.value });
    const type = response.headers.get("Content-Type") ?? "";
    const text = /json|text/.test(type) ? await response.text() : `${(await response.blob()).size} bytes of ${type}`;
    output.textContent = `${response.status} ${response.statusText}\n\n${text.slice(0, SHOWN_CHARACTERS)}`;
  } catch (error) {
    output.textContent = `No answer: ${error.message}`;
  }
}

function operationOf(method, path, operation, description) {
  const inputs = [];
  const json = operation.requestBody?.content["application/json"];
  const other = operation.requestBody && !json;
  const body = json
    ? element("textarea", { rows: 5, ariaLabel: "Body", value: JSON.stringify(example(json.schema, description), null, 2) })
    : null;
  const output = element("pre", { hidden: true });
  const button = element("button", { className: "send", type: "button", textContent: "Send" });
  button.addEventListener("click", () => send(method, path, inputs, body, output));
  const badge = element("span", { className: "method", textContent: method });
  badge.dataset.method = method;
  return element(
    "details",
    { className: "operation", id: operation.operationId },
    element(
      "summary",
      {},
      badge,
      element("span", { className: "path", textContent: path }),
      element("span", { className: "soft", textContent: operation.summary }),
    ),
    element(
      "div",
      { className: "operation-body" },
      operation.description ? element("p", { className: "about", textContent: operation.description }) : null,
      ...parameterParts(operation, description, inputs),
      ...bodyParts(operation, description),
      ...answerParts(operation, description),
      ...(other ? [] : [element("h3", { textContent: "Try it" }), ...(body ? [body] : []), button]),
      output,
    ),
  );
}

function show(description) {
  document.title = `${description.info.title}: the API`;
  document.getElementById("title").textContent = description.info.title;
  document.getElementById("version").textContent = description.info.version;
  document.getElementById("about").textContent = description.info.description;
  document.getElementById("key-field").hidden = !description.security;
  const groups = new Map(description.tags.map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(description.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      groups.get(item[method].tags[0])?.push(operationOf(method, path, item[method], description));
    }
  }
  const shown = [...groups].filter(([, operations]) => operations.length);
  const sections = shown.map(([tag, operations]) =>
    element("section", {}, element("h2", { textContent: tag }), ...operations),
  );
  document.getElementById("groups").append(...sections);
}

try {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  show(await response.json());
} catch (error) {
  const problem = document.getElementById("problem");
  problem.hidden = false;
  problem.textContent = `The description could not be loaded: ${error.message}`;
}
