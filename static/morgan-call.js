/**
 * `<morgan-call>`: a button that calls Morgan, for other people's sites.
 *
 *     <script type="module" src="https://morgan.example.org/static/morgan-call.js"></script>
 *     <morgan-call token="mt_…" language="en" captions></morgan-call>
 *
 * Attributes: `server` (where this module came from, without), `token`, `user-id`, `conversation-id`, `language`, `voice`,
 * `instructions`, `captions` (shows what is said), `label` (of the button). The property `token` also takes a function.
 * `element.call` is the running Call (morgan.d.ts), else null; its events come from the element too, as `morgan-state`,
 * `morgan-line` and `morgan-ended`. Colours: `--morgan-accent`, `--morgan-on-accent`.
 */

import { connect } from "./morgan.js";

const WORDS = {
  connecting: "Connecting", listening: "Listening", user_speaking: "Hearing you", thinking: "Thinking",
  speaking: "Speaking", reconnecting: "Reconnecting", ended: "",
};

/** @type {Record<string, string>} */
const TROUBLES = {
  microphone_taken: "The microphone is in use elsewhere.", microphone_gone: "The microphone is gone.", microphone_silent: "Your microphone gives no sound.",
  audio_interrupted: "Another app has taken the sound.", audio_blocked: "The browser waits for a press.",
  server_restarts: "Morgan restarts; the call goes on in a moment.",
};

/** What a press of the button ends, in place of the call. */
const UNBLOCKED = new Set(["audio_interrupted", "audio_blocked"]);

/** @type {Record<string, string>} */
const ENDS = { lost: "The connection was lost.", no_media: "No sound gets through.", microphone: "The microphone cannot be used." };

const STYLE = `
  :host { display: inline-grid; gap: 0.5rem; max-width: 24rem; font: 1rem/1.4 system-ui, sans-serif; }
  :host([hidden]) { display: none; }
  .row { display: flex; align-items: center; gap: 0.75rem; }
  button { min-height: 2.75rem; padding: 0 1.25rem; border: 0; border-radius: 999px; background: var(--morgan-accent, #0c7c66);
    color: var(--morgan-on-accent, #fff); font: inherit; font-weight: 600; cursor: pointer; }
  button[data-live] { background: #c0322b; color: #fff; }
  button:focus-visible { outline: 3px solid; outline-offset: 2px; }
  ol { max-height: 14rem; margin: 0; padding: 0; overflow-y: auto; list-style: none; font-size: 0.875rem; }
  li { margin-top: 0.375rem; overflow-wrap: anywhere; }
  [data-status="interim"] { opacity: 0.75; }
  p { margin: 0; }
`;

export class MorganCall extends HTMLElement {
  /** The running call. @type {import("./morgan.js").Call|null} */
  call = null;
  /** @type {import("./morgan.js").Token} */
  #token = null;
  /** What has not passed, the last one last. @type {Set<string>} */
  #troubles = new Set();
  #button = document.createElement("button");
  #status = document.createElement("p");
  #captions = document.createElement("ol");
  /** @type {Map<string, HTMLLIElement>} */
  #lines = new Map();

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet(); // a style element would need leave from the page's content security policy
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    this.#button.type = "button";
    this.#button.addEventListener("click", () => this.#press());
    this.#status.setAttribute("role", "status");
    this.#captions.tabIndex = 0;
    this.#captions.setAttribute("aria-label", "What is said");
    const row = document.createElement("div");
    row.className = "row";
    row.append(this.#button, this.#status);
    root.append(row, this.#captions);
  }

  connectedCallback() {
    this.#show();
  }

  disconnectedCallback() {
    this.close();
  }

  get token() {
    return this.#token ?? this.getAttribute("token");
  }

  /** @param {import("./morgan.js").Token} token */
  set token(token) {
    this.#token = token;
  }

  /** Call; inside a click. */
  start() {
    if (this.call) return;
    const given = (/** @type {string} */ name) => this.getAttribute(name) ?? undefined;
    const call = connect({
      server: given("server"), token: this.token, userId: given("user-id"), conversationId: given("conversation-id"),
      language: given("language"), voice: given("voice"), instructions: given("instructions"),
    });
    this.call = call;
    this.#captions.replaceChildren();
    this.#lines.clear();
    this.#troubles.clear();
    this.#hear(call, "state", "morgan-state", () => this.#show());
    this.#hear(call, "line", "morgan-line", (line) => this.#caption(line));
    this.#hear(call, "lineremoved", "", ({ id }) => this.#lines.get(id)?.remove());
    this.#hear(call, "trouble", "", ({ code }) => (this.#troubles.add(code), this.#show()));
    this.#hear(call, "troubleover", "", ({ code }) => (this.#troubles.delete(code), this.#show()));
    this.#hear(call, "ended", "morgan-ended", (end) => {
      this.call = null;
      this.#show(end.code === "hang_up" ? "" : (ENDS[end.code] ?? end.error?.message ?? end.message ?? "Morgan ended the call."));
    });
    this.#show();
  }

  #press() {
    if (this.#mustUnblock) this.call?.unblock();
    else if (this.call) this.close();
    else this.start();
  }

  get #mustUnblock() {
    return this.call !== null && [...this.#troubles].some((code) => UNBLOCKED.has(code));
  }

  /** Hang up. */
  close() {
    this.call?.close();
  }

  /** @param {EventTarget} call @param {string} type @param {string} told as which it goes on @param {(detail: any) => void} listener */
  #hear(call, type, told, listener) {
    call.addEventListener(type, (event) => {
      const { detail } = /** @type {CustomEvent} */ (event);
      listener(detail);
      if (told) this.dispatchEvent(new CustomEvent(told, { detail }));
    });
  }

  /** @param {string} [ended] how the last call did */
  #show(ended = "") {
    const live = this.call !== null && !this.#mustUnblock;
    const [trouble] = [...this.#troubles].reverse();
    const words = this.call ? (TROUBLES[trouble] ?? WORDS[this.call.state]) : ended;
    this.#button.textContent = live ? "Hang up" : this.call ? "Hear Morgan" : (this.getAttribute("label") ?? "Talk with Morgan");
    this.#button.toggleAttribute("data-live", live);
    this.#captions.hidden = !this.hasAttribute("captions") || !this.#captions.childElementCount;
    this.#status.textContent = words;
  }

  /** @param {import("./morgan.js").Line} line */
  #caption(line) {
    let item = this.#lines.get(line.id);
    if (!item) {
      item = document.createElement("li");
      this.#lines.set(line.id, item);
      this.#captions.append(item);
    }
    item.dataset.status = line.status;
    item.textContent = `${line.role === "user" ? "You" : "Morgan"}: ${line.text || "…"}`;
    this.#captions.hidden = !this.hasAttribute("captions");
    this.#captions.scrollTop = this.#captions.scrollHeight;
  }
}

customElements.define("morgan-call", MorganCall);
