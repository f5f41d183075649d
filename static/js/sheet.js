/** Dialogs at the side of the page: opened by a button, closed by another, by Escape or by a press beside them. */

import { element, make } from "./view.js";

/** @param {string} id of the dialog @param {{opened: () => void, closed: () => void}} listener @returns {HTMLDialogElement} */
export function sheet(id, listener) {
  const dialog = /** @type {HTMLDialogElement} */ (element(id));
  element(`open-${id}`).addEventListener("click", () => open(dialog, listener.opened));
  const close = make("button", { type: "button", class: "icon-button", "aria-label": `Close ${id}` }, "✕");
  close.addEventListener("click", () => dialog.close());
  dialog.firstElementChild?.append(close);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", listener.closed);
  return dialog;
}

/** @param {HTMLDialogElement} dialog @param {() => void} opened */
export function open(dialog, opened) {
  if (dialog.open) return;
  dialog.showModal();
  opened();
}
