/** The operator's page: asks the server every two seconds how it does, and shows it. */

import { SignalingError, Signaling } from "../../morgan/signaling.js";
import { STAGES } from "../latency.js";
import { accessKey, keepAccessKey } from "../storage.js";
import { element, input, make } from "../view.js";
import { meanStages, Past, quantile } from "./history.js";
import { ago, plot } from "./plots.js";
import { Table } from "./tables.js";

/** @import {Turn, Load, Fault} from "./history.js" */
/** @typedef {{call_id: string, user_id: string, kind: string, state: string, duration_s: number, turns: number, voice_to_voice_ms: number|null, media: Record<string, number|null>}} CallRow */
/** @typedef {{lane: string, waiting: number, running: number, done: number, dropped: number, rejected: number, busy_s: number, waited_s: number}} Lane */
/** @typedef {{status: string, kind: string, latency_ms: number|null, engine?: string, model?: string, detail?: string}} Component */
/** @typedef {{name: string, part: Component}} Part */
/** @typedef {{status: string, version: string, uptime_s: number, components: Record<string, Component>, calls: {active: number, capacity: number, total: number}, conversations: {total: number, messages: number}, cache: {hit_rate: number}}} Health */
/** @typedef {{active: number, capacity: number, late: boolean, cores: number, cores_used: number, waiting_s: number}} Capacity */
/** @typedef {{now_s: number, health: Health, capacity: Capacity, calls: CallRow[], lanes: Lane[], turns: Turn[], loads: Load[], faults: Fault[]}} State */

const EVERY_MS = 2000;
const PLOTTED_S = 1800;
/** Answers slower than this lie above the plot's top line, which is drawn at least so high. */
const LEAST_TOP_MS = 1000;
const KINDS = { call: "WebRTC", ws: "WebSocket", realtime: "Realtime", telephone: "Telephone" };

const signaling = new Signaling(undefined, accessKey);
let past = new Past();
let timer = 0;
let paused = false;
/** @type {State|null} */
let last = null;

/** @type {Table<CallRow>} */
const calls = new Table(element("calls"), {
  key: (call) => call.call_id,
  empty: "No calls now.",
  columns: [
    { name: "Caller", text: (call) => call.user_id || "–" },
    { name: "On", text: (call) => KINDS[/** @type {keyof typeof KINDS} */ (call.kind)] },
    { name: "State", text: (call) => call.state.replaceAll("_", " ") },
    { name: "Length", number: true, text: (call) => clock(call.duration_s) },
    { name: "Answers", number: true, text: (call) => String(call.turns) },
    { name: "Last answer", number: true, text: (call) => milliseconds(call.voice_to_voice_ms) },
    { name: "Round trip", number: true, text: ({ media }) => milliseconds(scaled(media.round_trip_s, 1000)) },
    { name: "Jitter", number: true, text: ({ media }) => milliseconds(scaled(media.jitter_s, 1000)) },
    { name: "Lost", number: true, text: ({ media }) => lost(media) },
  ],
  action: { name: "Hang up", about: (call) => `Hang up the call of ${call.user_id || "a caller without a name"}`, run: hangUp },
});
/** @type {Table<Part>} */
const parts = new Table(element("parts"), {
  key: ({ name }) => name,
  empty: "",
  columns: [
    { name: "Part", text: ({ name }) => name },
    { name: "Status", text: ({ part }) => part.status, level: ({ part }) => part.status },
    { name: "What it is", wide: true, text: ({ part }) => [part.kind, part.model ?? part.engine, part.detail].filter(Boolean).join(", ") },
    { name: "Latency", number: true, text: ({ part }) => milliseconds(part.latency_ms) },
  ],
});
/** @type {Table<Lane>} */
const lanes = new Table(element("lanes"), {
  key: ({ lane }) => lane,
  empty: "No engine works in this process.",
  columns: [
    { name: "Lane", text: ({ lane }) => lane },
    { name: "Waiting", number: true, text: (lane) => String(lane.waiting) },
    { name: "Running", number: true, text: (lane) => String(lane.running) },
    { name: "Done", number: true, text: (lane) => String(lane.done) },
    { name: "Dropped", number: true, text: (lane) => String(lane.dropped) },
    { name: "Rejected", number: true, text: (lane) => String(lane.rejected) },
    { name: "Mean work", number: true, text: (lane) => milliseconds(lane.done ? (lane.busy_s / lane.done) * 1000 : null) },
    { name: "Mean wait", number: true, text: (lane) => milliseconds(lane.done ? (lane.waited_s / lane.done) * 1000 : null) },
  ],
});

async function look() {
  clearTimeout(timer);
  try {
    last = /** @type {State} */ (await signaling.request("GET", `api/admin/state?${past.query}`));
    past.add(last);
    element("trouble").hidden = true;
    show(last);
  } catch (error) {
    if (!(error instanceof SignalingError)) throw error;
    if (error.status === 401 || error.status === 403) return askForKey(error);
    element("trouble").hidden = false;
    element("trouble").textContent = `${error.message} What is shown is old; it is asked again and again.`;
    status("down", "No answer");
  }
  if (!paused) timer = setTimeout(look, EVERY_MS);
}

/** @param {SignalingError} error */
function askForKey(error) {
  const known = accessKey() !== null;
  element("gate").hidden = false;
  element("view").hidden = element("pause").hidden = true;
  element("admin").dataset.state = "gate";
  status("", "Locked");
  element("gate-words").textContent = error.status === 403 ? "This key does not have the scope admin." : known ? "This key is not known." : "";
  input("key").value = "";
  input("key").focus();
}

/** @param {State} state */
function show(state) {
  element("gate").hidden = true;
  element("view").hidden = element("pause").hidden = false;
  element("admin").dataset.state = "open";
  const { health } = state;
  status(health.status, { ok: "All well", degraded: "Degraded", down: "Takes no calls" }[health.status] ?? health.status);
  element("about").textContent = `Version ${health.version}, up ${clock(health.uptime_s)}`;
  showTiles(state);
  showAnswers(state.now_s);
  showLoad(state);
  calls.show(state.calls);
  parts.show(Object.entries(health.components).map(([name, part]) => ({ name, part })));
  lanes.show(state.lanes);
  showFaults();
}

/** @param {string} level @param {string} words */
function status(level, words) {
  element("status").dataset.level = level;
  if (element("status").textContent !== words) element("status").textContent = words;
  document.title = `${words} · Morgan: operations`;
}

/** @param {State} state */
function showTiles({ health, capacity }) {
  const times = past.turns.map((turn) => turn.voice_to_voice_ms);
  /** @type {[string, string, string][]} */
  const tiles = [
    ["Calls", `${capacity.active} of ${capacity.capacity}`, capacity.late ? "answers are late: nobody else is let in" : `${health.calls.total} since the start`],
    ["Answered after", milliseconds(quantile(times, 0.5)), times.length ? `95 % within ${milliseconds(quantile(times, 0.95))}` : "nothing was asked in the last hour"],
    ["Cores", `${capacity.cores_used} of ${capacity.cores}`, capacity.waiting_s > 0.05 ? `somebody waits, ${milliseconds(capacity.waiting_s * 1000)}` : "busy with models"],
    ["Conversations", String(health.conversations.total), `${health.conversations.messages} messages`],
    ["Cached reads", `${Math.round(health.cache.hit_rate * 100)} %`, "found in Redis or memory"],
  ];
  element("tiles").replaceChildren(...tiles.map(([name, value, more]) => make("div", { class: "tile" }, make("dt", {}, name), make("dd", { class: "value" }, value), make("dd", { class: "soft" }, more))));
}

/** @param {number} now */
function showAnswers(now) {
  const seen = past.turns.filter((turn) => turn.at_s > now - PLOTTED_S);
  const times = seen.map((turn) => turn.voice_to_voice_ms);
  const words = seen.length ? `${seen.length} in the last half hour: half within ${milliseconds(quantile(times, 0.5))}, 95 % within ${milliseconds(quantile(times, 0.95))}, the slowest ${milliseconds(Math.max(...times))}.` : "None in the last half hour.";
  element("latency-words").textContent = words;
  const points = seen.map((turn) => ({ x: turn.at_s, y: turn.voice_to_voice_ms, title: `${milliseconds(turn.voice_to_voice_ms)}, ${ago(now - turn.at_s)}` }));
  plot(element("latency-plot"), `Time to each answer. ${words}`, [{ kind: "points", points, class: "dot" }], { from: now - PLOTTED_S, to: now, most: Math.max(LEAST_TOP_MS, ...times), unit: "ms" });
  showStages(seen);
}

/** @param {Turn[]} turns */
function showStages(turns) {
  const stages = meanStages(turns);
  element("stages").hidden = !stages.length;
  const bar = make("div", { class: "strip", "aria-hidden": "true" });
  const list = make("dl", { class: "legend" });
  for (const [name, ms] of stages) {
    const part = make("span", { class: "strip-part", "data-stage": name });
    part.style.flexGrow = String(Math.max(0, ms));
    bar.append(part);
    list.append(make("div", { class: "legend-stage", "data-stage": name }, make("dt", {}, STAGES[name] ?? name.replaceAll("_", " ")), make("dd", {}, milliseconds(ms))));
  }
  element("stages").replaceChildren(bar, list);
}

/** @param {State} state */
function showLoad({ now_s: now, capacity }) {
  const seen = past.loads.filter((load) => load.at_s > now - PLOTTED_S);
  const points = (/** @type {(load: Load) => number} */ of) => seen.map((load) => ({ x: load.at_s, y: of(load) }));
  const most = Math.max(capacity.capacity, capacity.cores, ...seen.map((load) => Math.max(load.calls, load.capacity)));
  const words = `${capacity.active} of ${capacity.capacity} calls now, at most ${Math.max(capacity.active, ...seen.map((load) => load.calls))} in the last half hour.`;
  element("load-words").replaceChildren(
    words, " ", make("span", { class: "key key-calls" }, "calls"), " ", make("span", { class: "key" }, "room for so many"), " ", make("span", { class: "key key-cores" }, "busy cores"),
  );
  plot(
    element("load-plot"), `Calls, capacity and busy cores over time. ${words}`,
    [
      { kind: "area", points: points((load) => load.calls), class: "area" },
      { kind: "steps", points: points((load) => load.cores), class: "line-cores" },
      { kind: "steps", points: points((load) => load.capacity), class: "line-capacity" },
    ],
    { from: now - PLOTTED_S, to: now, most, unit: "" },
  );
}

function showFaults() {
  element("no-faults").hidden = past.faults.length > 0;
  const list = element("faults");
  const newest = Number(/** @type {HTMLElement|null} */ (list.firstElementChild)?.dataset.number ?? 0);
  const { faults } = past;
  if (faults.length && faults[0].number < newest) list.replaceChildren();
  for (const fault of faults.filter(({ number }) => number > newest).reverse()) list.prepend(faultOf(fault));
  while (list.childElementCount > faults.length) list.lastElementChild?.remove();
}

/** @param {Fault} fault */
function faultOf(fault) {
  const at = new Date(fault.at).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
  const fields = Object.entries(fault.fields).map(([name, value]) => `${name}: ${value}`).join(", ");
  return make(
    "li", { class: "fault", "data-number": String(fault.number), "data-level": fault.level },
    make("p", { class: "fault-words" }, make("strong", {}, fault.message), fields && ` ${fields}`),
    make("p", { class: "soft" }, make("span", { class: "level" }, fault.level), ` ${fault.source}, `, make("time", { datetime: fault.at }, at)),
  );
}

/** @param {CallRow} call */
async function hangUp(call) {
  if (!confirm(`Hang up the call of ${call.user_id || "this caller"}?`)) return;
  await signaling.hangUp(call.call_id);
  look();
}

/** @param {number|null|undefined} value @param {number} by */
function scaled(value, by) {
  return typeof value === "number" ? value * by : null;
}

/** @param {number|null|undefined} ms */
function milliseconds(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms < 10 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`;
}

/** @param {Record<string, number|null>} media */
function lost(media) {
  const all = (media.packets_lost ?? 0) + (media.packets_received ?? 0);
  return all ? `${(((media.packets_lost ?? 0) / all) * 100).toFixed(1)} %` : "–";
}

/** @param {number} seconds */
function clock(seconds) {
  const whole = Math.floor(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  if (hours >= 48) return `${Math.floor(hours / 24)} days`;
  const tail = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

element("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepAccessKey(input("key").value.trim());
  past = new Past();
  look();
});
element("pause").addEventListener("click", () => {
  paused = !paused;
  element("pause").setAttribute("aria-pressed", String(paused));
  if (paused) clearTimeout(timer);
  else look();
});
addEventListener("resize", () => last && !element("view").hidden && (showAnswers(last.now_s), showLoad(last)));
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : paused || look()));
look();
