/**
 * The transcript in the page: one list item per line. A line is hidden from assistive technology until its words are
 * final, so that `role="log"` announces each line once and whole, not word by word.
 *
 * @typedef {import("./events.js").Line} Line
 * @typedef {import("./events.js").Latency} Latency
 */

/** Nearer to the end than this (px), the list keeps following. */
const FOLLOW_PX = 64;

const SPEAKERS = { user: "You", assistant: "Morgan" };

export class Transcript {
  #list;
  #scroller;
  #latest;
  /** @type {Map<string, HTMLLIElement>} */
  #items = new Map();
  #following = true;

  /**
   * @param {HTMLOListElement} list
   * @param {HTMLElement} scroller scrolls the list
   * @param {HTMLButtonElement} latest shown when the end is out of sight
   */
  constructor(list, scroller, latest) {
    this.#list = list;
    this.#scroller = scroller;
    this.#latest = latest;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    list.addEventListener("toggle", () => this.#follow(false), { capture: true }); // opened latencies take room
    latest.addEventListener("click", () => this.#follow(true));
  }

  get empty() {
    return this.#list.childElementCount === 0;
  }

  /** @param {Line} line */
  show(line) {
    const item = this.#items.get(line.id) ?? this.#add(line);
    item.dataset.status = line.status;
    const text = /** @type {HTMLElement} */ (item.querySelector(".line-text"));
    if (text.textContent !== line.text) text.textContent = line.text;
    text.dataset.empty = String(!line.text);
    const mark = /** @type {HTMLElement} */ (item.querySelector(".line-mark"));
    mark.hidden = line.status !== "interrupted";
    if (line.latency && !item.querySelector(".latency")) item.querySelector(".line-meta")?.append(latencyOf(line.latency));
    if (line.status === "interim") item.setAttribute("aria-hidden", "true");
    else item.removeAttribute("aria-hidden");
    this.#follow(false);
  }

  /** @param {string} id */
  remove(id) {
    this.#items.get(id)?.remove();
    this.#items.delete(id);
  }

  /** Mark where a call ended. @param {string} text */
  divide(text) {
    if (this.empty || this.#list.lastElementChild?.matches(".divider")) return;
    const item = document.createElement("li");
    item.className = "divider";
    item.textContent = text;
    this.#list.append(item);
    this.#items.clear(); // the next call may use the same ids
    this.#follow(false);
  }

  clear() {
    this.#list.replaceChildren();
    this.#items.clear();
    this.#following = true;
  }

  /** @param {Line} line */
  #add(line) {
    const item = document.createElement("li");
    item.className = "line";
    item.dataset.role = line.role;
    item.dataset.itemId = line.id;
    item.append(part("span", "line-speaker", SPEAKERS[line.role]), part("p", "line-text", ""));
    /** @type {HTMLElement} */ (item.lastElementChild).dir = "auto";
    const meta = part("div", "line-meta", "");
    meta.append(part("span", "line-mark", "interrupted"));
    item.append(meta);
    this.#items.set(line.id, item);
    this.#list.append(item);
    return item;
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#following = scrollHeight - scrollTop - clientHeight < FOLLOW_PX;
    this.#latest.hidden = this.#following;
  }

  /** @param {boolean} force */
  #follow(force) {
    if (force) this.#following = true;
    if (this.#following) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#latest.hidden = this.#following;
  }
}

/** @param {string} tag @param {string} className @param {string} text */
function part(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

/** @param {Latency} latency */
function latencyOf(latency) {
  const details = /** @type {HTMLDetailsElement} */ (part("details", "latency", ""));
  details.dataset.role = "latency";
  const summary = part("summary", "latency-total", milliseconds(latency.voiceToVoiceMs));
  summary.setAttribute("aria-label", `Answered after ${milliseconds(latency.voiceToVoiceMs)}`);
  details.append(summary);
  const stages = part("dl", "latency-stages", "");
  for (const [name, ms] of Object.entries(latency.stages)) {
    const stage = part("div", "latency-stage", "");
    stage.append(part("dt", "", name.replaceAll("_", " ").replace(/ ms$/, "")), part("dd", "", milliseconds(ms)));
    stages.append(stage);
  }
  if (stages.childElementCount) details.append(stages);
  return details;
}

/** @param {number} ms */
function milliseconds(ms) {
  return `${Math.round(ms)} ms`;
}
