/**
 * The page around the transcript: state, controls, meters, notices. Knows no call; what is pressed goes to `actions`.
 *
 * @typedef {"idle"|"connecting"|"listening"|"user_speaking"|"thinking"|"speaking"|"reconnecting"|"ended"} State
 * @typedef {{call: () => void, hangUp: () => void, mute: () => void, afresh: () => void, key: (key: string) => void}} Actions
 */

/** @type {Record<State, [status: string, hint: string]>} */
const WORDS = {
  idle: ["Talk with Morgan", "Press to call, then just speak. You can interrupt at any time."],
  connecting: ["Connecting", ""],
  listening: ["Listening", "Go ahead, say something."],
  user_speaking: ["Hearing you", ""],
  thinking: ["Thinking", ""],
  speaking: ["Speaking", "Speak up to interrupt."],
  reconnecting: ["Reconnecting", "Bringing your call back."],
  ended: ["Call ended", "Press to call again."],
};

/** Levels reach the accessibility tree this often, the screen at every frame. */
const ARIA_MS = 300;

export class View {
  /** @type {State} */
  state = "idle";
  /** Whether any call has got through since the page was fresh. */
  connected = false;
  #app = element("app");
  #muted = false;
  #startedAt = 0;
  #clock = 0;
  #ariaAt = 0;

  /** @param {Actions} actions */
  constructor(actions) {
    element("call").addEventListener("click", actions.call);
    element("notice-action").addEventListener("click", actions.call);
    element("hang-up").addEventListener("click", actions.hangUp);
    element("mute").addEventListener("click", actions.mute);
    element("afresh").addEventListener("click", actions.afresh);
    element("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = /** @type {HTMLInputElement} */ (element("key"));
      const key = field.value.trim();
      field.value = "";
      if (key) actions.key(key);
    });
  }

  /** @param {State} state */
  setState(state) {
    this.connected ||= state !== "idle" && state !== "connecting";
    const running = state !== "idle" && state !== "ended";
    const wasRunning = this.state !== "idle" && this.state !== "ended";
    this.state = state;
    this.#app.dataset.state = state;
    this.#showWords();
    if (state !== "connecting") this.#runClock(running);
    if (running === wasRunning) return;
    element("call").hidden = running;
    element("call-label").textContent = state === "idle" ? "Call" : "Call again";
    for (const id of ["meters", "controls"]) element(id).hidden = !running;
    element("afresh").hidden = running || this.#app.dataset.conversation === "empty";
    element(running ? "hang-up" : "call").focus({ preventScroll: true });
  }

  /** @param {boolean} muted */
  setMuted(muted) {
    this.#muted = muted;
    this.#app.dataset.muted = String(muted);
    element("mute").setAttribute("aria-pressed", String(muted));
    this.#showWords();
  }

  /** As if the page had just been opened. */
  reset() {
    this.connected = false;
    this.setConversationEmpty(true);
    this.notify(null);
    this.setState("idle");
    element("call-label").textContent = "Call";
  }

  /** @param {boolean} empty nothing has been said yet */
  setConversationEmpty(empty) {
    this.#app.dataset.conversation = empty ? "empty" : "begun";
    if (empty) element("afresh").hidden = true;
  }

  /** @param {import("./meter.js").Levels} levels */
  setLevels(levels) {
    this.#app.style.setProperty("--mic", levels.mic.toFixed(3));
    this.#app.style.setProperty("--voice", levels.voice.toFixed(3));
    const now = performance.now();
    if (now - this.#ariaAt < ARIA_MS) return;
    this.#ariaAt = now;
    element("mic-level").setAttribute("aria-valuenow", String(Math.round(levels.mic * 100)));
    element("voice-level").setAttribute("aria-valuenow", String(Math.round(levels.voice * 100)));
  }

  /** @param {import("./messages.js").Notice|null} notice null takes the one that is shown away */
  notify(notice) {
    const box = element("notice");
    box.hidden = !notice;
    box.dataset.code = notice?.code ?? "";
    element("hint").hidden = notice !== null && (this.state === "idle" || this.state === "ended");
    element("notice-title").textContent = notice?.title ?? "";
    element("notice-text").textContent = notice?.text ?? "";
    const action = element("notice-action");
    action.hidden = !notice?.action;
    action.textContent = notice?.action ?? "";
    element("key-form").hidden = !notice?.key;
    if (notice?.key) element("key").focus();
  }

  #showWords() {
    const deaf = this.#muted && (this.state === "listening" || this.state === "user_speaking");
    const [status, hint] = deaf ? ["Muted", "Morgan cannot hear you."] : WORDS[this.state];
    element("status").textContent = status;
    element("hint").textContent = hint;
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
    };
    show();
    this.#clock = setInterval(show, 1000);
  }
}

/** @param {string} id @returns {HTMLElement} */
export function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no #${id}`);
  return found;
}
