/**
 * One call: opens the microphone, connects, tells what is said and what goes wrong, goes on over a new connection after a
 * loss or a restart of the server, in a new call where the server does not know it any more, and ends exactly once.
 *
 * @import {CallEnd, CallOptions, CallState, ConnectionFigures, TroubleCode} from "../morgan.js"
 */

import { Conversation } from "./conversation.js";
import { Microphone, Speaker } from "./devices.js";
import { Levels } from "./levels.js";
import { Link } from "./link.js";
import { SignalingError } from "./signaling.js";
import { SilenceWatch } from "./silence_watch.js";
import { Statistics } from "./statistics.js";

const CONNECT_MS = 15_000;
/** A server that is started again has this long to come back. */
const RESUME_MS = 120_000;
const RESUME_TRY_MS = 8000;
const RESUME_PAUSE_MS = 400;
const RESUME_PAUSE_MAX_MS = 4000;
/** Answers after which another try can only get the same one. */
const FINAL = new Set([400, 401, 403, 404, 410, 422]);
/** Ends that say that the server goes, not the call. */
const RESTARTS = new Set(["shutdown"]);

/** Its events and what they carry: morgan.d.ts. */
export class Call extends EventTarget {
  /** Resolves once Morgan can be spoken to; rejects with the CallEnd where that never comes. @type {Promise<void>} */
  ready;
  /** When `state` is "reconnecting": until when that is tried, on the clock of `performance.now()`. */
  reconnectDeadline = 0;
  /** From when the microphone was granted until Morgan could hear it; 0 before. */
  setUpMs = 0;
  #phase = /** @type {"connecting"|"connected"|"reconnecting"|"ended"} */ ("connecting");
  #abort = new AbortController();
  #link;
  #options;
  #microphone;
  #speaker;
  #levels;
  #conversation;
  #statistics = new Statistics();
  /** @type {MediaStream|null} */
  #stream = null;
  /** There is no microphone: Morgan is written to. */
  #written;
  /** What is said before the call stands. @type {import("./first_words.js").FirstWords|null} */
  #firstWords = null;
  /** Troubles that have not passed. @type {Set<string>} */
  #troubles = new Set();
  #silence = new SilenceWatch(() => this.#heardPeak(), () => this.#trouble("microphone_silent"), () => this.#troubleOver("microphone_silent"));
  /** Ends the pause between two tries to resume. @type {() => void} */
  #wake = () => {};
  /** @type {{resolve: () => void, reject: (end: CallEnd) => void}} */
  #settle;

  /** Make it by `connect`, inside a click. @param {CallOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    const listener = {
      onEvent: (/** @type {any} */ event) => this.#receive(event),
      onVoice: (/** @type {MediaStream} */ stream) => this.#play(stream),
      onLost: (/** @type {string} */ why) => this.#resume(why),
    };
    this.#link = new Link(options, () => /** @type {MediaStream} */ (this.#stream), listener, this.#abort.signal);
    this.#levels = new Levels((state) => this.#audioChanged(state));
    const troubles = {
      onTrouble: (/** @type {TroubleCode} */ code, /** @type {unknown} */ error = undefined) => this.#trouble(code, error),
      onTroubleOver: (/** @type {TroubleCode} */ code) => this.#troubleOver(code),
    };
    this.#written = options.microphone === null;
    this.#microphone = new Microphone(this.#written ? this.#levels.silence() : options.microphone ?? "", { ...troubles, onStream: (stream, changed) => this.#hearFrom(stream, changed) });
    this.#microphone.muted = options.muted ?? false;
    this.#speaker = new Speaker(options.audio ?? new Audio(), troubles);
    if (options.volume !== undefined) this.#speaker.volume = options.volume;
    this.#conversation = new Conversation({
      onLine: (line) => this.#tell("line", line),
      onLineGone: (id) => this.#tell("lineremoved", { id }),
      onTurn: () => this.#phase === "connected" && this.#tellState(),
      onProblem: (message) => this.#tell("problem", { message }),
    });
    let settle;
    this.ready = new Promise((resolve, reject) => (settle = { resolve: () => resolve(undefined), reject }));
    this.ready.catch(() => {}); // told by `ended` too
    this.#settle = /** @type {any} */ (settle);
  }

  /** @type {CallState} */
  get state() {
    return this.#phase === "connected" ? this.#conversation.turn : this.#phase;
  }

  /** Known once the server has answered; "" before. */
  get conversationId() {
    return this.#link.conversationId;
  }

  /** Known once the server has answered; "" before. */
  get callId() {
    return this.#link.callId;
  }

  /** Place the call. Whatever fails arrives as `ended`. */
  async start() {
    const { signal } = this.#abort;
    try {
      await this.#link.findIceServers();
      this.#stream = await this.#openMicrophone();
      if (signal.aborted) return;
      const opened = performance.now();
      this.#keepWords();
      if (this.#options.speaker) await this.#speaker.change(this.#options.speaker);
      await this.#link.place(CONNECT_MS);
      this.setUpMs = performance.now() - opened;
      this.#connected();
      this.#settle.resolve();
    } catch (error) {
      if (error instanceof SignalingError) this.#end({ code: "refused", error });
      else if (error instanceof MicrophoneError) this.#end({ code: "microphone", error: error.cause });
      else this.#end({ code: "no_media", error });
    }
  }

  /** Say something in writing, in the same conversation; Morgan answers aloud. @param {string} text */
  say(text) {
    this.#silence.forget(); // who writes need not speak
    const content = [{ type: "input_text", text }];
    this.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
    this.send({ type: "response.create" });
  }

  /** Silence what Morgan is saying. */
  interrupt() {
    this.send({ type: "response.cancel" });
  }

  /** Send any event of OpenAI's Realtime API that Morgan understands. @param {object} event */
  send(event) {
    this.#link.connection?.send(event);
  }

  /** False where the call was placed without a microphone and none was chosen since. */
  get hasMicrophone() {
    return !this.#written;
  }

  get muted() {
    return this.#microphone.muted;
  }

  /** @param {boolean} muted Morgan hears silence */
  mute(muted) {
    this.#microphone.muted = muted;
    this.#silence.forget();
    this.#troubleOver("microphone_silent");
  }

  get volume() {
    return this.#speaker.volume;
  }

  set volume(volume) {
    this.#speaker.volume = volume;
  }

  /** Speak into another microphone. @param {string} deviceId "" for the default one */
  async useMicrophone(deviceId) {
    this.#written = false;
    await this.#microphone.change(deviceId);
  }

  /** Hear Morgan elsewhere. @param {string} deviceId "" for the default one */
  async useSpeaker(deviceId) {
    await this.#speaker.change(deviceId);
  }

  /** How loud both sides are, 0 to 1; ask once per frame. */
  levels() {
    return this.#levels.read();
  }

  /** @returns {Promise<ConnectionFigures|null>} null while there is no connection */
  async stats() {
    const report = await this.#link.connection?.stats();
    return report ? this.#statistics.figures(report) : null;
  }

  /** Inside a click: let sound run again that the browser had stopped. */
  unblock() {
    this.#levels.resume();
    this.#speaker.resume();
  }

  /** The network has come back or changed, or the page was out of sight: look whether all still works. */
  check() {
    this.#levels.resume();
    this.#microphone.check();
    this.#wake();
    if (this.#phase === "connected" && !this.#link.connection?.alive) this.#resume("no path");
  }

  /** The network has changed: what is open may be dead without knowing it yet. */
  networkChanged() {
    this.#wake();
    this.#resume("network changed");
  }

  /** Hang up. */
  close() {
    this.#end({ code: "hang_up" });
  }

  async #openMicrophone() {
    try {
      return await this.#microphone.open();
    } catch (error) {
      throw new MicrophoneError("no microphone", { cause: error });
    }
  }

  /** @param {string} why */
  async #resume(why) {
    if (this.#phase !== "connected") return;
    console.info("call: reconnecting,", why);
    this.reconnectDeadline = performance.now() + RESUME_MS;
    this.#setPhase("reconnecting");
    this.#keepWords();
    const { signal } = this.#abort;
    for (let pause = RESUME_PAUSE_MS; !signal.aborted && this.#msLeft() > 0; pause = Math.min(2 * pause, RESUME_PAUSE_MAX_MS)) {
      try {
        await this.#link.findIceServers();
        const anew = await this.#link.again(Math.min(RESUME_TRY_MS, this.#msLeft()));
        if (anew) {
          this.#conversation.finish();
          this.#tell("rejoined", {});
        }
        this.#connected();
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof SignalingError && FINAL.has(error.status)) {
          this.#end({ code: "refused", error });
          return;
        }
      }
      await this.#pause(Math.min(pause, this.#msLeft()));
    }
    this.#end({ code: "lost" });
  }

  #msLeft() {
    return this.reconnectDeadline - performance.now();
  }

  #connected() {
    this.#statistics = new Statistics();
    this.#silence.start();
    this.#setPhase("connected");
    this.#firstWords?.release((track) => this.#send(track), () => this.#caughtUp());
    this.#troubleOver("server_restarts");
  }

  /** @param {any} event */
  #receive(event) {
    if (this.#phase === "ended") return;
    this.#tell("event", event);
    this.#conversation.apply(event);
    if (event.type === "morgan.shutdown") this.#trouble("server_restarts");
    if (event.type !== "morgan.call.ended") return;
    if (RESTARTS.has(event.reason)) this.#resume("the server restarts"); // the one that follows knows the call
    else this.#end({ code: String(event.reason ?? "ended"), message: event.message });
  }

  /** @param {MediaStream} stream */
  #play(stream) {
    if (this.#phase === "ended") return;
    this.#levels.listenTo("voice", stream);
    this.#speaker.play(stream);
  }

  /** @param {MediaStream} stream @param {boolean} changed */
  #hearFrom(stream, changed) {
    this.#stream = stream;
    this.#silence.forget();
    this.#levels.listenTo("mic", stream);
    this.#caughtUp(); // what another microphone had heard is not waited for
    this.#tell("microphone", { label: this.#microphone.label, changed });
  }

  /** There is no connection: what is said goes over the next one. */
  #keepWords() {
    this.#firstWords?.close();
    this.#firstWords = this.#written ? null : this.#levels.keep(/** @type {MediaStream} */ (this.#stream));
  }

  /** From now on Morgan hears the microphone as it is. */
  #caughtUp() {
    this.#firstWords?.close();
    this.#firstWords = null;
    const track = this.#stream?.getAudioTracks()[0];
    if (track) this.#send(track);
  }

  /** @param {MediaStreamTrack} track */
  #send(track) {
    this.#link.connection?.replaceTrack(track).catch((error) => console.warn("call: microphone,", error.message));
  }

  /** @param {string} state of the AudioContext */
  #audioChanged(state) {
    if (this.#phase === "ended" || state === "closed") return;
    if (state === "running") this.#troubleOver("audio_interrupted");
    else if (this.#phase !== "connecting") this.#trouble("audio_interrupted");
  }

  /** Of the microphone; null while nothing of it has to be heard. */
  #heardPeak() {
    const listens = this.#phase === "connected" && !this.#written && this.#microphone.hears;
    return listens ? this.#levels.peak("mic") : null;
  }

  /** @param {TroubleCode} code @param {unknown} [error] */
  #trouble(code, error) {
    if (this.#phase === "ended" || this.#troubles.has(code)) return;
    this.#troubles.add(code);
    this.#tell("trouble", { code, error });
  }

  /** @param {TroubleCode} code */
  #troubleOver(code) {
    if (this.#troubles.delete(code)) this.#tell("troubleover", { code });
  }

  /** @param {CallEnd} end */
  #end(end) {
    if (this.#phase === "ended") return;
    this.#conversation.finish();
    this.#phase = "ended";
    this.#abort.abort();
    this.#wake();
    this.#silence.stop();
    this.#link.leave();
    this.#firstWords?.close();
    this.#microphone.close();
    this.#speaker.close();
    this.#levels.close();
    this.#settle.reject(end);
    this.#tellState();
    this.#tell("ended", end);
  }

  /** @param {"connected"|"reconnecting"} phase */
  #setPhase(phase) {
    if (this.#phase === "ended") return;
    this.#phase = phase;
    this.#tellState();
  }

  #tellState() {
    this.#tell("state", { state: this.state });
  }

  /** @param {string} type @param {object} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** @param {number} ms */
  #pause(ms) {
    return new Promise((resolve) => {
      this.#wake = () => resolve(undefined);
      setTimeout(resolve, Math.max(0, ms));
    });
  }
}

/** The microphone did not open; `cause` is what the browser threw. */
class MicrophoneError extends Error {}

/** Call Morgan, inside a click, so that the browser lets sound run. @param {CallOptions} [options] @returns {Call} "connecting" */
export function connect(options = {}) {
  const call = new Call(options);
  call.start();
  return call;
}
