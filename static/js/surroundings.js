/** What a call has to do with the rest of the device: screen, lock screen, headset buttons, network, other tabs. */

export class Surroundings {
  #actions;
  /** @type {WakeLockSentinel|null} */
  #wakeLock = null;
  #running = false;

  /** @param {{toggleMute: () => void, hangUp: () => void, call: () => import("../morgan.js").Call|null}} actions */
  constructor(actions) {
    this.#actions = actions;
    window.addEventListener("online", () => actions.call()?.networkChanged());
    /** @type {any} */ (navigator).connection?.addEventListener?.("change", () => actions.call()?.check());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#seenAgain());
    document.addEventListener("resume", () => actions.call()?.check()); // thawed: the browser had stopped the page
  }

  /** @param {boolean} connected */
  callRuns(connected) {
    if (this.#running || !connected) return;
    this.#running = true;
    this.#keepScreenOn();
    this.#mediaSession();
  }

  callIsOver() {
    this.#running = false;
    this.#wakeLock?.release().catch(console.info);
    this.#wakeLock = null;
    if (!("mediaSession" in navigator)) return;
    navigator.mediaSession.metadata = null;
    navigator.mediaSession.playbackState = "none";
    for (const action of ["togglemicrophone", "hangup", "stop"]) this.#handle(action, null);
  }

  /** @param {boolean} muted */
  muted(muted) {
    /** @type {any} */ (navigator.mediaSession)?.setMicrophoneActive?.(!muted)?.catch?.(() => {});
  }

  #seenAgain() {
    if (!this.#running) return;
    this.#keepScreenOn(); // the lock goes with the page's visibility
    this.#actions.call()?.check();
  }

  /** A phone that goes dark in the middle of a call takes the microphone with it. */
  async #keepScreenOn() {
    try {
      const lock = (await navigator.wakeLock?.request("screen")) ?? null;
      if (this.#running) this.#wakeLock = lock;
      else await lock?.release();
    } catch (error) {
      console.info("the screen may go dark:", error instanceof Error ? error.message : error);
    }
  }

  #mediaSession() {
    if (!("mediaSession" in navigator)) return;
    const artwork = [{ src: new URL("static/icon.svg", document.baseURI).href, type: "image/svg+xml", sizes: "any" }];
    navigator.mediaSession.metadata = new MediaMetadata({ title: "Call with Morgan", artist: location.host, artwork });
    navigator.mediaSession.playbackState = "playing";
    this.#handle("togglemicrophone", this.#actions.toggleMute);
    this.#handle("hangup", this.#actions.hangUp);
    this.#handle("stop", this.#actions.hangUp);
    this.muted(false);
  }

  /** @param {string} action @param {(() => void)|null} handler */
  #handle(action, handler) {
    try {
      navigator.mediaSession.setActionHandler(/** @type {any} */ (action), handler);
    } catch {
      // This browser does not know the action.
    }
  }
}
