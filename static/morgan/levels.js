/**
 * Loudness of the microphone and of Morgan's voice, smoothed like a needle: fast up, slow down.
 *
 * @typedef {"mic"|"voice"} Source
 * @typedef {{mic: number, voice: number}} LevelPair from 0 (silence) to 1 (as loud as speech gets)
 */

import { FirstWords } from "./first_words.js";

const QUIET_DB = -56;
const LOUD_DB = -14;
const FALL_PER_S = 3.2;

export class Levels {
  #context;
  /** @type {Map<Source, {source: MediaStreamAudioSourceNode, analyser: AnalyserNode}>} */
  #taps = new Map();
  #samples = new Float32Array(2048);
  /** @type {LevelPair} */
  #levels = { mic: 0, voice: 0 };
  #before = 0;

  /**
   * Make one inside a click: browsers start no audio outside of one.
   *
   * @param {(state: string) => void} [onState] the AudioContext is "running", "suspended", "interrupted" or "closed"
   */
  constructor(onState = () => {}) {
    this.#context = new AudioContext({ latencyHint: "interactive" });
    this.#context.onstatechange = () => onState(this.#context.state);
    this.resume();
  }

  /** Go on after an interruption; works for certain only inside a click. */
  resume() {
    if (this.#context.state !== "closed") this.#context.resume().catch((error) => console.info("levels:", error.message));
  }

  /** @param {Source} name @param {MediaStream} stream replaces the one before */
  listenTo(name, stream) {
    if (this.#context.state === "closed") return;
    this.#taps.get(name)?.source.disconnect();
    const source = this.#context.createMediaStreamSource(stream);
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = this.#samples.length;
    source.connect(analyser);
    this.#taps.set(name, { source, analyser });
  }

  /** What is said from now on, kept until it can be sent. @param {MediaStream} stream listened to as "mic" */
  keep(stream) {
    return new FirstWords(this.#context, stream, () => this.peak("mic"));
  }

  /** A microphone of somebody who has none. @returns {MediaStream} silence */
  silence() {
    const to = this.#context.createMediaStreamDestination();
    const source = new ConstantSourceNode(this.#context, { offset: 0 }); // with nothing connected, Chromium sends no packets
    source.connect(to);
    source.start();
    return to.stream;
  }

  /** @returns {LevelPair} as of now; ask once per frame */
  read() {
    const now = performance.now();
    const fall = (Math.min(1000, now - this.#before) / 1000) * FALL_PER_S;
    this.#before = now;
    for (const [name, { analyser }] of this.#taps) {
      analyser.getFloatTimeDomainData(this.#samples);
      const level = levelOf(this.#samples);
      const held = this.#levels[name];
      this.#levels[name] = level > held ? held + (level - held) * 0.6 : Math.max(level, held - fall);
    }
    return { ...this.#levels };
  }

  /** @param {Source} name @returns {number|null} the loudest sample of the last 40 ms, null while nothing is measured */
  peak(name) {
    const tap = this.#taps.get(name);
    if (!tap || this.#context.state !== "running") return null;
    tap.analyser.getFloatTimeDomainData(this.#samples);
    return this.#samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  }

  close() {
    for (const { source } of this.#taps.values()) source.disconnect();
    this.#taps.clear();
    this.#context.onstatechange = null;
    if (this.#context.state !== "closed") this.#context.close().catch((error) => console.info("levels:", error.message));
  }
}

/** @param {Float32Array} samples */
function levelOf(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, (db - QUIET_DB) / (LOUD_DB - QUIET_DB)));
}
