/**
 * Loudness of the microphone and of the assistant's voice, measured with one AnalyserNode each and smoothed so that
 * it reads like a needle: fast up, slow down.
 *
 * @typedef {"mic"|"voice"} Source
 * @typedef {Record<Source, number>} Levels from 0 (silence) to 1 (as loud as speech gets)
 */

const QUIET_DB = -56;
const LOUD_DB = -14;
const FALL_PER_S = 3.2;

export class Meter {
  /** @type {AudioContext|null} */
  #context = null;
  /** @type {Map<Source, {source: MediaStreamAudioSourceNode, analyser: AnalyserNode}>} */
  #taps = new Map();
  #samples = new Float32Array(1024);
  /** @type {Levels} */
  #levels = { mic: 0, voice: 0 };
  #frame = 0;
  #before = 0;
  #listener;

  /** @param {(levels: Levels) => void} listener called once per animation frame while a call runs */
  constructor(listener) {
    this.#listener = listener;
  }

  /** Call this inside the click: browsers start no audio outside of one. */
  start() {
    this.#context ??= new AudioContext({ latencyHint: "interactive" });
    this.#context.resume().catch((error) => console.warn("meter: no audio context,", error.message));
    this.#before = performance.now();
    this.#frame ||= requestAnimationFrame((now) => this.#tick(now));
  }

  /**
   * @param {Source} name
   * @param {MediaStream} stream replaces the one before
   */
  listenTo(name, stream) {
    if (!this.#context) return;
    this.#taps.get(name)?.source.disconnect();
    const source = this.#context.createMediaStreamSource(stream);
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = this.#samples.length;
    source.connect(analyser);
    this.#taps.set(name, { source, analyser });
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    for (const { source } of this.#taps.values()) source.disconnect();
    this.#taps.clear();
    this.#levels = { mic: 0, voice: 0 };
    this.#listener(this.#levels);
    this.#context?.suspend().catch((error) => console.warn("meter:", error.message));
  }

  /** @param {number} now */
  #tick(now) {
    const fall = (Math.max(0, now - this.#before) / 1000) * FALL_PER_S;
    this.#before = now;
    for (const [name, { analyser }] of this.#taps) {
      analyser.getFloatTimeDomainData(this.#samples);
      const level = levelOf(this.#samples);
      const held = this.#levels[name];
      this.#levels[name] = level > held ? held + (level - held) * 0.6 : Math.max(level, held - fall);
    }
    this.#listener(this.#levels);
    this.#frame = requestAnimationFrame((next) => this.#tick(next));
  }
}

/** @param {Float32Array} samples */
function levelOf(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, (db - QUIET_DB) / (LOUD_DB - QUIET_DB)));
}
