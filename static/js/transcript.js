/**
 * The transcript in the page: one list item per line, hidden from assistive technology until its words are final, so that
 * it is announced once and whole.
 *
 * @import {Line, Message} from "../morgan.js"
 * @typedef {{message: Message, item: HTMLElement}} PastLine
 */

import { latencyOf } from "./latency.js";
import { make } from "./view.js";

/** Nearer to the end than this (px), the list keeps following. */
const FOLLOW_PX = 64;

const SPEAKERS = { user: "You", assistant: "Morgan" };

export class Transcript {
  #list;
  #scroller;
  #latest;
  /** @type {Map<string, HTMLElement>} */
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
    new ResizeObserver(() => this.#follow(false)).observe(scroller);
  }

  get empty() {
    return this.#list.childElementCount === 0;
  }

  /** @param {Line} line */
  show(line) {
    let item = this.#items.get(line.id);
    if (!item) {
      item = lineItem(line.id, line.role);
      this.#items.set(line.id, item);
      this.#list.append(item);
    }
    fill(item, line);
    if (line.latency && !item.querySelector(".latency")) item.querySelector(".line-meta")?.append(latencyOf(line.latency));
    this.#follow(false);
  }

  /** What was said in an earlier call. @param {Message[]} messages */
  showPast(messages) {
    this.#list.append(...pastLines(messages).map(({ item }) => item));
    this.divide("Earlier");
    this.#follow(true);
  }

  /** @param {string} id */
  remove(id) {
    this.#items.get(id)?.remove();
    this.#items.delete(id);
  }

  /** Mark where a call ended. @param {string} text */
  divide(text) {
    if (!this.empty && !this.#list.lastElementChild?.matches(".divider")) {
      this.#list.append(make("li", { class: "divider" }, text));
      this.#follow(false);
    }
    this.#items.clear(); // the next call may use the same ids
  }

  clear() {
    this.#list.replaceChildren();
    this.#items.clear();
    this.#following = true;
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

/**
 * The lines of a conversation that is over.
 *
 * @param {Message[]} messages
 * @returns {PastLine[]}
 */
export function pastLines(messages) {
  const spoken = messages.filter(({ role }) => role === "user" || role === "assistant");
  return spoken.map((message) => {
    const item = lineItem(message.id, /** @type {"user"|"assistant"} */ (message.role));
    fill(item, { text: message.content, unheard: "", status: message.interrupted ? "interrupted" : "final" });
    return { message, item };
  });
}

/** @param {string} id @param {"user"|"assistant"} role */
function lineItem(id, role) {
  const text = make("p", { class: "line-text", dir: "auto" }, make("span", { class: "heard" }), make("s", { class: "unheard", "aria-hidden": "true" }));
  const meta = make("div", { class: "line-meta" }, make("span", { class: "line-mark" }, "interrupted"));
  return make("li", { class: "line", "data-role": role, "data-item-id": id }, make("span", { class: "line-speaker" }, SPEAKERS[role]), text, meta);
}

/** @param {HTMLElement} item @param {Pick<Line, "text"|"unheard"|"status">} line */
function fill(item, line) {
  item.dataset.status = line.status;
  const part = (/** @type {string} */ name) => /** @type {HTMLElement} */ (item.querySelector(name));
  for (const [name, text] of [[".heard", line.text], [".unheard", line.unheard]]) {
    if (part(name).textContent !== text) part(name).textContent = text;
  }
  part(".line-text").dataset.empty = String(!line.text);
  part(".line-mark").hidden = line.status !== "interrupted";
  if (line.status === "interim") item.setAttribute("aria-hidden", "true");
  else item.removeAttribute("aria-hidden");
}
