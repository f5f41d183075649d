/** Earlier conversations: listed, searched, read, heard again, taken away, deleted. */

import { Replay } from "./replay.js";
import { pastLines } from "./transcript.js";
import { element, input, make } from "./view.js";

const FORMATS = /** @type {const} */ ([["txt", "Text"], ["vtt", "Subtitles"], ["json", "JSON"]]);

export class HistoryPanel {
  #conversations;
  #actions;
  #sheet;
  /** @type {string|null} */
  #cursor = null;
  /** Only the last thing that was asked for is shown. */
  #asked = 0;
  /** @type {Replay|null} */
  #replay = null;

  /**
   * @param {import("./sheet.js").Sheet} sheet
   * @param {import("../morgan.js").Conversations} conversations
   * @param {{goOn: (id: string) => void, deleted: (id: string) => void}} actions
   */
  constructor(sheet, conversations, actions) {
    this.#sheet = sheet;
    this.#conversations = conversations;
    this.#actions = actions;
    element("history-back").addEventListener("click", () => this.#showAll());
    element("more").addEventListener("click", () => this.#more());
    element("search-form").addEventListener("submit", (event) => (event.preventDefault(), this.#search()));
    element("search").addEventListener("input", () => input("search").value === "" && this.#showAll());
  }

  opened() {
    this.#showAll();
  }

  closed() {
    this.#leaveOne();
  }

  /** @param {string} words what is going on, or went wrong */
  #say(words) {
    element("history-words").textContent = words;
  }

  /** @param {boolean} one shown is one conversation, not the list */
  #layOut(one) {
    element("history-back").hidden = !one;
    for (const id of ["search-form", "conversations"]) element(id).hidden = one;
    element("more").hidden = true;
    element("one").hidden = !one;
    if (!one) element("history-title").textContent = "History";
  }

  #leaveOne() {
    this.#asked += 1;
    this.#replay?.close();
    this.#replay = null;
    element("one").replaceChildren();
  }

  async #showAll() {
    this.#leaveOne();
    this.#layOut(false);
    input("search").value = "";
    element("conversations").replaceChildren();
    this.#cursor = null;
    await this.#more();
  }

  async #more() {
    await this.#fetch(() => this.#conversations.list(this.#cursor), (page) => {
      this.#cursor = page.next_cursor;
      element("conversations").append(...page.conversations.map((each) => this.#card(each.id, title(each), `${day(each.started_at)} · ${count(each.message_count)}`)));
      element("more").hidden = !this.#cursor;
      this.#say(element("conversations").childElementCount ? "" : "Nothing yet. What you say in calls is kept for you alone.");
    });
  }

  async #search() {
    const words = input("search").value.trim();
    if (!words) return this.#showAll();
    await this.#fetch(() => this.#conversations.search(words), (found) => {
      element("more").hidden = true;
      element("conversations").replaceChildren(
        ...found.map((each) => this.#card(each.conversation_id, each.content, `${each.role === "user" ? "You" : "Morgan"} · ${day(each.created_at)}`, each.message_id)),
      );
      this.#say(found.length ? `${found.length} found, the nearest first` : "Nothing like it was said.");
    });
  }

  /** @param {string} id @param {string} words @param {string} about @param {string} [messageId] to look at */
  #card(id, words, about, messageId) {
    const button = make("button", { type: "button", class: "card", "data-conversation": id }, make("span", { class: "card-title", dir: "auto" }, words), make("span", { class: "soft" }, about));
    button.addEventListener("click", () => this.#showOne(id, messageId));
    return make("li", {}, button);
  }

  /** @param {string} id @param {string} [messageId] */
  async #showOne(id, messageId) {
    await this.#fetch(() => Promise.all([this.#conversations.show(id), this.#conversations.messages(id)]), ([conversation, messages]) => {
      this.#layOut(true);
      element("history-title").textContent = title(conversation);
      const lines = pastLines(messages);
      const list = make("ol", { class: "transcript past" }, ...lines.map(({ item }) => item));
      this.#replay = new Replay(lines, (name) => this.#conversations.recording(id, name));
      const about = make("p", { class: "soft" }, `${day(conversation.started_at)} · ${count(conversation.message_count)}`);
      element("one").replaceChildren(about, this.#tools(id), this.#replay.controls(conversation.recordings), list);
      this.#say("");
      element("history-body").scrollTop = 0;
      lines.find(({ message }) => message.id === messageId)?.item.scrollIntoView({ block: "center" });
      element("history-back").focus();
    });
  }

  /** @param {string} id */
  #tools(id) {
    const live = element("app").dataset.live === "true";
    const goOn = make("button", { type: "button", class: "button button-primary", id: "go-on" }, "Go on with it");
    goOn.hidden = live;
    goOn.addEventListener("click", () => (this.#sheet.close(), this.#actions.goOn(id)));
    const exports = FORMATS.map(([format, name]) => {
      const button = make("button", { type: "button", class: "button", "data-format": format }, name);
      button.addEventListener("click", () => this.#export(id, format));
      return button;
    });
    const saving = make("span", { class: "tools", role: "group", "aria-label": "Save as" }, make("span", { class: "soft", "aria-hidden": "true" }, "Save as"), ...exports);
    return make("div", { class: "tools" }, goOn, this.#deletion(id), saving);
  }

  /** Asked once more before anything is gone. @param {string} id */
  #deletion(id) {
    const first = make("button", { type: "button", class: "button button-danger", id: "delete" }, "Delete");
    const sure = make("button", { type: "button", class: "button button-danger", id: "delete-for-good" }, "Delete for good");
    const keep = make("button", { type: "button", class: "button" }, "Keep");
    const asked = (/** @type {boolean} */ yes) => {
      first.hidden = yes;
      sure.hidden = keep.hidden = !yes;
      (yes ? keep : first).focus();
    };
    sure.hidden = keep.hidden = true;
    first.addEventListener("click", () => asked(true));
    keep.addEventListener("click", () => asked(false));
    sure.addEventListener("click", () => this.#delete(id));
    return make("span", { class: "tools" }, first, sure, keep);
  }

  /** @param {string} id */
  async #delete(id) {
    await this.#fetch(() => this.#conversations.delete(id), async () => {
      this.#actions.deleted(id);
      await this.#showAll();
      if (!element("history-words").textContent) this.#say("Deleted.");
    });
  }

  /** @param {string} id @param {"json"|"txt"|"vtt"} format */
  async #export(id, format) {
    await this.#fetch(() => this.#conversations.export(id, format), (file) => {
      save(file, `conversation-${id.slice(0, 8)}.${format}`);
      this.#say("");
    });
  }

  /** @template T @param {() => Promise<T>} ask @param {(answer: T) => void|Promise<void>} show */
  async #fetch(ask, show) {
    const asked = ++this.#asked;
    this.#say("One moment…");
    try {
      const answer = await ask();
      if (asked === this.#asked) await show(answer);
    } catch (error) {
      if (asked === this.#asked) this.#say(/** @type {any} */ (error).status === 401 ? "This server asks for a key: place a call first." : /** @type {Error} */ (error).message);
    }
  }
}

/** @param {Blob} file @param {string} name */
function save(file, name) {
  const link = /** @type {HTMLAnchorElement} */ (make("a", { href: URL.createObjectURL(file), download: name }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** @param {import("../morgan.js").Conversation} conversation */
function title(conversation) {
  return conversation.title || "Without words";
}

/** @param {string} time */
function day(time) {
  return new Date(time).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

/** @param {number} messages */
function count(messages) {
  return messages === 1 ? "1 message" : `${messages} messages`;
}
