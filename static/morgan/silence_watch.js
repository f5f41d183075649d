/** Looks for a microphone that gives no sound at all: switched off, covered, or the wrong one. */

const WATCH_MS = 250;
const SILENT_MS = 15_000;
/** About -74 dBFS: a quiet room is louder than a microphone that is switched off. */
const SILENT_PEAK = 0.0002;

export class SilenceWatch {
  #peak;
  #onSilent;
  #onSound;
  #timer = 0;
  /** Since when there has been no sound, on the clock of `performance.now()`; 0 where there is, or nobody listens. */
  #since = 0;

  /**
   * @param {() => number|null} peak of what was heard just now, full scale being 1; null where nothing has to be heard
   * @param {() => void} onSilent called again and again @param {() => void} onSound likewise
   */
  constructor(peak, onSilent, onSound) {
    this.#peak = peak;
    this.#onSilent = onSilent;
    this.#onSound = onSound;
  }

  /** Look from now on. */
  start() {
    this.#timer ||= setInterval(() => this.#look(), WATCH_MS);
  }

  /** Whatever was, silence begins anew. */
  forget() {
    this.#since = 0;
  }

  stop() {
    clearInterval(this.#timer);
  }

  #look() {
    const peak = this.#peak();
    if (peak === null) this.#since = 0;
    else if (peak > SILENT_PEAK) {
      this.#since = 0;
      this.#onSound();
    } else {
      this.#since ||= performance.now();
      if (performance.now() - this.#since >= SILENT_MS) this.#onSilent();
    }
  }
}
