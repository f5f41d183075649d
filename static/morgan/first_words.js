/**
 * What the caller says while there is no connection, kept and said after: who presses the button speaks at once, and a
 * connection takes a second over a phone's network. Pauses are cut short until nothing is late any more.
 */

/** Longer waits lose their beginning. */
const LONGEST_MS = 10_000;
/** About -40 dBFS: somebody speaks. */
const VOICE_PEAK = 0.01;
const LOOK_MS = 50;
/** The browser looked away (a tab in the background): whatever was said meanwhile counts as speech. */
const BLIND_MS = 200;
/** A longer pause is cut to `PAUSE_KEPT_MS`; half of that goes before the next word, which may begin softly. */
const PAUSE_MS = 500;
const PAUSE_KEPT_MS = 300;
/** Before the first word: until the sender has changed to the late track and the first packets are heard. */
const LEAD_MS = 250;

export class FirstWords {
  #context;
  #source;
  #delay;
  #to;
  #peak;
  #timer;
  #lookedAt = performance.now();
  /** When somebody spoke that has not been sent, oldest first, on the clock of `performance.now()`. @type {number[]} */
  #spoken = [];
  /** When the last of it that has been sent was spoken. */
  #saidAt = 0;
  #lateMs = 0;
  /** @type {(() => void)|null} */
  #caughtUp = null;

  /** @param {AudioContext} context @param {MediaStream} stream the microphone @param {() => number|null} peak of its last 40 ms */
  constructor(context, stream, peak) {
    this.#context = context;
    this.#peak = peak;
    this.#source = context.createMediaStreamSource(stream);
    this.#delay = context.createDelay(LONGEST_MS / 1000);
    this.#to = context.createMediaStreamDestination();
    this.#source.connect(this.#delay).connect(this.#to);
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /**
   * There is a connection. Words that wait are sent, late, and what follows them.
   *
   * @param {(track: MediaStreamTrack) => void} send takes this track in place of the microphone's
   * @param {() => void} caughtUp nothing is late: it is time for the microphone itself
   */
  release(send, caughtUp) {
    const now = performance.now();
    this.#spoken = this.#spoken.filter((at) => now - at < LONGEST_MS - PAUSE_KEPT_MS);
    if (!this.#spoken.length) return caughtUp();
    this.#caughtUp = caughtUp;
    this.#saidAt = this.#spoken[0];
    this.#beLate(now - this.#spoken[0] + LEAD_MS);
    send(this.#to.stream.getAudioTracks()[0]);
  }

  close() {
    clearInterval(this.#timer);
    this.#source.disconnect();
    this.#delay.disconnect();
    this.#to.stream.getTracks().forEach((track) => track.stop());
  }

  #look() {
    const now = performance.now();
    for (let at = this.#lookedAt + BLIND_MS; at < now; at += BLIND_MS) this.#spoken.push(at);
    this.#lookedAt = now;
    if ((this.#peak() ?? 0) >= VOICE_PEAK) this.#spoken.push(now);
    if (this.#caughtUp) this.#catchUp(now);
  }

  /** @param {number} now */
  #catchUp(now) {
    const said = now - this.#lateMs;
    while (this.#spoken.length && this.#spoken[0] <= said) this.#saidAt = this.#spoken.shift() ?? 0;
    if (said - this.#saidAt < PAUSE_KEPT_MS / 2) return; // a word may end softly, too
    const pause = (this.#spoken[0] ?? now) - said;
    if (!this.#spoken.length) this.#caughtUp?.();
    else if (pause > PAUSE_MS) this.#beLate(this.#lateMs - (pause - PAUSE_KEPT_MS));
  }

  /** @param {number} ms */
  #beLate(ms) {
    this.#lateMs = ms;
    this.#delay.delayTime.setValueAtTime(ms / 1000, this.#context.currentTime);
  }
}
