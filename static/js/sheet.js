/** Dialogs at the side of the page. What is in one is fetched when it is first opened: a call needs none of them. */

import { element, make } from "./view.js";

/** What fills a dialog. @typedef {{opened: (about?: string) => void, closed: () => void}} Panel */

export class Sheet {
  /** Open or not. @type {HTMLDialogElement} */
  dialog;
  #opener;
  #load;
  /** @type {Promise<Panel>|null} */
  #panel = null;

  /**
   * Opened by its button, closed by another, by Escape or by a press beside it.
   *
   * @param {string} id of the dialog, whose button is `open-` that
   * @param {(sheet: Sheet) => Promise<Panel>} load called once
   * @param {(error: Error) => void} failed its files could not be had
   */
  constructor(id, load, failed) {
    this.dialog = /** @type {HTMLDialogElement} */ (element(id));
    this.#opener = element(`open-${id}`);
    this.#load = load;
    this.#opener.addEventListener("click", () => this.open().catch(failed));
    const close = make("button", { type: "button", class: "icon-button", "aria-label": `Close ${id}` }, "✕");
    close.addEventListener("click", () => this.close());
    this.dialog.firstElementChild?.append(close);
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.close());
  }

  /** @param {string} [about] what it is opened for @returns {Promise<void>} rejects where its files cannot be had */
  async open(about) {
    this.#opener.setAttribute("aria-busy", "true");
    try {
      const panel = await (this.#panel ??= this.#first());
      if (this.dialog.open) return;
      this.dialog.showModal();
      panel.opened(about);
    } catch (error) {
      this.#panel = null;
      throw error;
    } finally {
      this.#opener.removeAttribute("aria-busy");
    }
  }

  close() {
    this.dialog.close();
  }

  async #first() {
    const panel = await this.#load(this);
    this.dialog.addEventListener("close", () => panel.closed());
    return panel;
  }
}
