/** Where the time of a turn went: a bar of its stages, and what each of them took for whoever opens it. */

import { make } from "./view.js";

/** The stages as the server measures them, in order. @type {Record<string, string>} */
export const STAGES = {
  silence_wait: "Hearing the end",
  stt: "Understanding",
  llm_first_token: "Thinking",
  first_clause: "First words",
  tts_first_audio: "Voice",
  release: "Making sure",
  first_packet: "Sending",
};

/** @param {NonNullable<import("../morgan.js").Line["latency"]>} latency */
export function latencyOf(latency) {
  const total = milliseconds(latency.voiceToVoiceMs);
  const summary = make("summary", { class: "latency-total", "aria-label": `Answered after ${total}` }, total);
  const details = make("details", { class: "latency", "data-role": "latency" }, summary);
  const stages = Object.entries(latency.stages);
  if (!stages.length) return details;
  const bar = make("span", { class: "strip", "aria-hidden": "true" });
  const list = make("dl", { class: "latency-stages" });
  for (const [name, ms] of stages) {
    const shown = STAGES[name] ?? name.replaceAll("_", " ");
    const part = make("span", { class: "strip-part", "data-stage": name });
    part.style.flexGrow = String(Math.max(0, ms));
    bar.append(part);
    list.append(make("div", { class: "latency-stage", "data-stage": name }, make("dt", {}, shown), make("dd", {}, milliseconds(ms))));
  }
  summary.append(bar);
  details.append(list);
  return details;
}

/** @param {number} ms */
function milliseconds(ms) {
  return `${Math.round(ms)} ms`;
}
