/** What the connection of the running call is like, for whoever opens it. */

import { element, make } from "./view.js";

const EVERY_MS = 1000;

/** @type {[label: string, show: (f: import("../morgan.js").ConnectionFigures, call: import("../morgan.js").Call) => string][]} */
const ROWS = [
  ["Set up in", (f, call) => number(call.setUpMs || null, "ms")],
  ["Round trip", (f) => number(f.roundTripMs, "ms")],
  ["Jitter", (f) => number(f.jitterMs, "ms")],
  ["Lost", (f) => number(f.lossPercent, "%")],
  ["Concealed", (f) => number(f.concealedPercent, "%")],
  ["Held back", (f) => number(f.bufferMs, "ms")],
  ["Received", (f) => number(f.inKbps, "kbit/s")],
  ["Sent", (f) => number(f.outKbps, "kbit/s")],
  ["Codec", (f) => f.codec || "–"],
  ["From", (f) => f.local || "–"],
  ["To", (f) => f.remote || "–"],
];

export class ConnectionPanel {
  #sheet;
  #call;
  #timer = 0;

  /** @param {import("./sheet.js").Sheet} sheet @param {() => import("../morgan.js").Call|null} call */
  constructor(sheet, call) {
    this.#sheet = sheet;
    this.#call = call;
  }

  closed() {
    clearTimeout(this.#timer);
  }

  async opened() {
    clearTimeout(this.#timer);
    const call = this.#call();
    const figures = await call?.stats().catch(() => null);
    if (call && figures) {
      element("figures").replaceChildren(...ROWS.map(([label, show]) => make("div", {}, make("dt", {}, label), make("dd", {}, show(figures, call)))));
    }
    if (this.#sheet.dialog.open) this.#timer = setTimeout(() => this.opened(), EVERY_MS);
  }
}

/** @param {number|null} value @param {string} unit */
function number(value, unit) {
  return value === null ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}
