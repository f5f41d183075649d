/**
 * The page around the transcript: state, controls, meters, notices. Knows no call; what is pressed goes to `actions`.
 *
 * @typedef {"idle"|import("../morgan.js").CallState} State
 * @typedef {{call: () => void, write: () => void, hangUp: () => void, mute: () => void, stop: () => void, afresh: () => void,
 *   resume: () => void, key: (key: string) => void, notice: (code: string) => void}} Actions
 * @typedef {import("./messages.js").Notice} Notice
 */

/** @type {Record<State, [status: string, hint: string]>} */
const WORDS = {
  idle: ["Talk with Morgan", "Press to call, then just speak. You can interrupt at any time."],
  connecting: ["Connecting", "If the browser asks, allow the microphone."],
  listening: ["Listening", "Go ahead, say something."],
  user_speaking: ["Hearing you", ""],
  thinking: ["Thinking", ""],
  speaking: ["Speaking", "Speak up to interrupt, or press to stop."],
  reconnecting: ["Reconnecting", "Bringing your call back."],
  ended: ["Call ended", "Press to call again."],
};

/** What a screen reader is told of the states; turns of the talk are heard anyway. @type {Partial<Record<State, string>>} */
const ANNOUNCED = {
  listening: "Connected. Morgan is listening.",
  reconnecting: "The connection was lost. Reconnecting.",
  ended: "The call has ended.",
};

/** Levels reach the accessibility tree this often, the screen at every frame. */
const ARIA_MS = 300;

export class View {
  /** @type {State} */
  state = "idle";
  /** Whether any call has got through since the page was fresh. */
  connected = false;
  /** Called once a frame while a call runs. @type {() => {mic: number, voice: number}} */
  levels = () => ({ mic: 0, voice: 0 });
  /** Until when is reconnected, on the clock of `performance.now()`. */
  deadline = 0;
  #app = element("app");
  #muted = false;
  /** "asked": the browser has not given it yet. @type {"asked"|"open"|"none"} */
  #microphone = "asked";
  #pushToTalk = false;
  #held = false;
  #startedAt = 0;
  #clock = 0;
  #frame = 0;
  #ariaAt = 0;
  /** Those that are shown one at a time, the first of them. @type {Map<string, Notice>} */
  #notices = new Map();

  /** @param {Actions} actions */
  constructor(actions) {
    for (const button of document.querySelectorAll(".icon-button")) /** @type {HTMLElement} */ (button).title = button.getAttribute("aria-label") ?? "";
    element("call").addEventListener("click", actions.call);
    element("notice-action").addEventListener("click", () => actions.notice(element("notice").dataset.code ?? ""));
    element("notice-close").addEventListener("click", () => this.settle(element("notice").dataset.code ?? ""));
    element("hang-up").addEventListener("click", actions.hangUp);
    element("mute").addEventListener("click", actions.mute);
    element("stop").addEventListener("click", actions.stop);
    element("notice-write").addEventListener("click", actions.write);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.state === "speaking" && !document.querySelector("dialog[open]")) actions.stop();
    });
    element("afresh").addEventListener("click", actions.afresh);
    element("resume").addEventListener("click", actions.resume);
    element("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = input("key");
      const key = field.value.trim();
      field.value = "";
      if (key) actions.key(key);
    });
  }

  get live() {
    return this.state !== "idle" && this.state !== "ended";
  }

  /** @param {State} state */
  setState(state) {
    const before = this.state;
    const wasLive = this.live;
    this.connected ||= !["idle", "connecting", "ended"].includes(state);
    this.state = state;
    this.#app.dataset.state = state;
    this.#app.dataset.live = String(this.live);
    this.#showStop(state === "speaking");
    this.#showWords();
    if (ANNOUNCED[state] && (state !== "listening" || before === "connecting" || before === "reconnecting")) say(ANNOUNCED[state]);
    if (state !== "connecting") this.#runClock(this.live);
    this.#showTitle();
    if (this.live !== wasLive) this.#begunOrOver();
  }

  /** @param {boolean} speaking */
  #showStop(speaking) {
    const stop = element("stop");
    if (!speaking && stop === document.activeElement) element("hang-up").focus({ preventScroll: true });
    stop.hidden = !speaking;
  }

  #begunOrOver() {
    const { live } = this;
    element("call").hidden = live;
    element("call-label").textContent = this.state === "idle" ? "Call" : "Call again";
    for (const id of ["meters", "controls", "composer", "open-connection"]) element(id).hidden = !live;
    element("afresh").hidden = live || this.#app.dataset.conversation === "empty";
    if (live) element("resume").hidden = true;
    element(live ? "hang-up" : "call").focus({ preventScroll: true });
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (live) this.#tick();
    else this.#showLevels({ mic: 0, voice: 0 });
  }

  /** @param {boolean} muted */
  setMuted(muted) {
    if (muted !== this.#muted && this.live && !this.#pushToTalk) say(muted ? "Muted" : "Not muted");
    this.#muted = muted;
    this.#app.dataset.muted = String(muted);
    element("mute").setAttribute("aria-pressed", String(muted));
    this.#showWords();
  }

  /** @param {"asked"|"open"|"none"} microphone */
  setMicrophone(microphone) {
    this.#microphone = microphone;
    this.setPushToTalk(this.#pushToTalk, this.#held);
  }

  /** @param {boolean} on @param {boolean} held */
  setPushToTalk(on, held) {
    this.#pushToTalk = on;
    this.#held = held;
    const none = this.#microphone === "none";
    element("mute").hidden = on || none;
    element("hold").hidden = !on || none;
    element("hold").setAttribute("aria-pressed", String(held));
    this.#showWords();
  }

  /** As if the page had just been opened. */
  reset() {
    this.connected = false;
    this.setConversationEmpty(true);
    this.clearNotices();
    this.setState("idle");
    element("call-label").textContent = "Call";
  }

  /** @param {boolean} empty nothing has been said yet */
  setConversationEmpty(empty) {
    this.#app.dataset.conversation = empty ? "empty" : "begun";
    element("afresh").hidden = empty || this.live;
  }

  /** @param {boolean} offered there is a conversation to go on with */
  offerResume(offered) {
    element("resume").hidden = !offered || this.live || this.#app.dataset.conversation === "begun";
  }

  /** Show what is to be known; one with the same code takes its place. @param {Notice} notice */
  notify(notice) {
    this.#notices.set(notice.code, notice);
    this.#showNotice();
  }

  /** @param {string} code */
  settle(code) {
    if (this.#notices.delete(code)) this.#showNotice();
  }

  clearNotices() {
    this.#notices.clear();
    this.#showNotice();
  }

  /** What is not well, else the state of a call: of a tab in the background it is all that can be seen. */
  #showTitle() {
    const trouble = [...this.#notices.values()].findLast((notice) => notice.kind !== "news")?.title;
    const words = trouble ?? (this.live ? WORDS[this.state][0] : "");
    document.title = words ? `${words} · Morgan` : "Morgan";
  }

  /** The last that came is shown. */
  #showNotice() {
    this.#showTitle();
    const notice = [...this.#notices.values()].at(-1);
    const box = element("notice");
    box.hidden = !notice;
    box.dataset.code = notice?.code ?? "";
    box.dataset.kind = notice?.kind ?? "trouble";
    element("hint").hidden = notice !== undefined && !this.live;
    element("notice-title").textContent = notice?.title ?? "";
    element("notice-text").textContent = notice?.text ?? "";
    element("notice-close").hidden = !this.live;
    const action = element("notice-action");
    action.hidden = !notice?.action;
    action.textContent = notice?.action ?? "";
    element("notice-write").hidden = !notice?.write || this.live;
    const keyWasHidden = element("key-form").hidden;
    element("key-form").hidden = !notice?.key;
    if (notice?.key && keyWasHidden) element("key").focus();
  }

  #showWords() {
    const heard = this.state === "listening" || this.state === "user_speaking";
    let [status, hint] = WORDS[this.state];
    if (this.#microphone === "none" && (heard || this.state === "connecting")) {
      [status, hint] = heard ? ["Ready", "Write to Morgan; the answer is spoken."] : [status, "Without a microphone."];
    } else if (this.state === "connecting" && this.#microphone === "open") {
      hint = this.#muted ? "" : "Go ahead: what you say now is not lost.";
    } else if (this.#pushToTalk && heard) {
      [status, hint] = this.#held ? ["Hearing you", "Let go when you have finished."] : ["Ready", "Hold the space bar, or the button, to talk."];
    } else if (this.#muted && heard) [status, hint] = ["Muted", "Morgan cannot hear you."];
    if (this.state === "reconnecting") hint = this.#countdown();
    element("status").textContent = status;
    element("hint").textContent = hint;
  }

  #countdown() {
    const seconds = Math.max(0, Math.ceil((this.deadline - performance.now()) / 1000));
    return `Bringing your call back. ${seconds} s left.`;
  }

  #tick() {
    this.#showLevels(this.levels());
    this.#frame = requestAnimationFrame(() => this.#tick());
  }

  /** @param {{mic: number, voice: number}} levels */
  #showLevels(levels) {
    this.#app.style.setProperty("--mic", levels.mic.toFixed(3));
    this.#app.style.setProperty("--voice", levels.voice.toFixed(3));
    const now = performance.now();
    if (this.live && now - this.#ariaAt < ARIA_MS) return;
    this.#ariaAt = now;
    element("mic-level").setAttribute("aria-valuenow", String(Math.round(levels.mic * 100)));
    element("voice-level").setAttribute("aria-valuenow", String(Math.round(levels.voice * 100)));
  }

  /** @param {boolean} run */
  #runClock(run) {
    element("timer").hidden = !run;
    if (run && this.#clock) return;
    clearInterval(this.#clock);
    this.#clock = 0;
    if (!run) return;
    this.#startedAt = performance.now();
    const show = () => {
      const seconds = Math.floor((performance.now() - this.#startedAt) / 1000);
      element("timer").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      if (this.state === "reconnecting") element("hint").textContent = this.#countdown();
    };
    show();
    this.#clock = setInterval(show, 1000);
  }
}

/** Tell a screen reader, once. @param {string} words */
export function say(words) {
  element("said").textContent = words;
}

/** @param {string} id @returns {HTMLElement} */
export function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no #${id}`);
  return found;
}

/** @param {string} id @returns {HTMLInputElement} */
export function input(id) {
  return /** @type {HTMLInputElement} */ (element(id));
}

/**
 * A new element; text goes in as text.
 *
 * @param {string} tag @param {Record<string, string>} [attributes] @param {...(Node|string)} children
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
