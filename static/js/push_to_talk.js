/** Push to talk: heard while the space bar or the button is held. */

/** Where a space is a space. */
const WRITING = "input:not([type=checkbox], [type=range]), textarea, select";

export class PushToTalk {
  #button;
  #listener;
  #on = false;
  #held = false;

  /** @param {HTMLElement} button @param {(held: boolean) => void} listener */
  constructor(button, listener) {
    this.#button = button;
    this.#listener = listener;
    button.addEventListener("pointerdown", (event) => {
      button.setPointerCapture(event.pointerId);
      this.#hold(true);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(end, () => this.#hold(false));
    button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long press is one
    // Space presses whatever button has the focus: while it talks, it must not hang up.
    document.addEventListener("keydown", (event) => this.#key(event, true), { capture: true });
    document.addEventListener("keyup", (event) => this.#key(event, false), { capture: true });
    window.addEventListener("blur", () => this.#hold(false));
    document.addEventListener("visibilitychange", () => this.#hold(false));
  }

  /** @param {boolean} on */
  set on(on) {
    this.#on = on;
    this.#held = false;
  }

  /** @param {KeyboardEvent} event @param {boolean} down */
  #key(event, down) {
    const target = /** @type {Element} */ (event.target);
    const enterOnButton = event.key === "Enter" && target === this.#button;
    if (!this.#on || !(event.key === " " || enterOnButton) || target.matches?.(WRITING) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) this.#hold(down);
  }

  /** @param {boolean} held */
  #hold(held) {
    if (!this.#on || held === this.#held) return;
    this.#held = held;
    this.#listener(held);
  }
}
