/**
 * One call: connects, hears of losses, goes on over a new connection, and ends exactly once.
 *
 * @typedef {"connecting"|"connected"|"reconnecting"|"ended"} CallState
 * @typedef {{code: string, message?: string, error?: unknown}} CallEnd why it ended: "hang_up", "lost", "no_media",
 *   "refused" (with the error), or the reason that the server gave
 * @typedef {object} CallListener
 * @property {(state: CallState) => void} onState
 * @property {(event: any) => void} onEvent
 * @property {(stream: MediaStream) => void} onVoice
 * @property {(end: CallEnd) => void} onEnd
 */

import { Connection } from "./connection.js";
import { SignalingError } from "./signaling.js";

const CONNECT_MS = 15_000;
const RESUME_MS = 20_000;
const RESUME_TRY_MS = 8000;
const RESUME_PAUSE_MS = 400;
const LEAVE_MS = 1000;
/** Answers to a resumption after which another try can only get the same one. */
const FINAL = new Set([400, 401, 403, 404, 410, 422]);

export class Call {
  /** @type {CallState} */
  #state = "connecting";
  /** @type {Connection|null} */
  #connection = null;
  #abort = new AbortController();
  #signaling;
  #iceServers;
  #microphone;
  #caller;
  #listener;
  #callId = "";
  #resumeToken = "";
  #conversationId = "";
  /** Ends the pause between two tries to resume. @type {() => void} */
  #wake = () => {};

  /**
   * @param {import("./signaling.js").Signaling} signaling
   * @param {RTCIceServer[]} iceServers
   * @param {MediaStream} microphone
   * @param {import("./signaling.js").Caller} caller
   * @param {CallListener} listener
   */
  constructor(signaling, iceServers, microphone, caller, listener) {
    this.#signaling = signaling;
    this.#iceServers = iceServers;
    this.#microphone = microphone;
    this.#caller = caller;
    this.#listener = listener;
  }

  /** Known once the server has answered. */
  get conversationId() {
    return this.#conversationId;
  }

  /** Place the call. Every failure arrives as `onEnd`. */
  async start() {
    try {
      await this.#connect(CONNECT_MS, async (sdp) => {
        const answer = await this.#signaling.createCall(sdp, this.#caller);
        this.#callId = answer.call_id;
        if (this.#state === "ended") this.#signaling.hangUp(this.#callId); // hung up before the server had answered
        this.#resumeToken = answer.resume_token;
        this.#conversationId = answer.conversation_id;
        if (answer.ice_servers?.length) this.#iceServers = answer.ice_servers;
        return answer.sdp;
      });
      this.#setState("connected");
    } catch (error) {
      this.#end(error instanceof SignalingError ? { code: "refused", error } : { code: "no_media", error });
    }
  }

  /** The network has come back or changed: what is open may be dead without knowing it yet. */
  networkChanged() {
    this.#wake();
    this.#resume("network changed");
  }

  /** @param {MediaStream} stream a new microphone in place of one that went away */
  async replaceMicrophone(stream) {
    this.#microphone = stream;
    await this.#connection?.replaceTrack(stream.getAudioTracks()[0]);
  }

  hangUp() {
    this.#end({ code: "hang_up" });
  }

  /** @param {string} why */
  async #resume(why) {
    if (this.#state !== "connected") return;
    console.info("call: reconnecting,", why);
    this.#setState("reconnecting");
    const deadline = performance.now() + RESUME_MS;
    for (let pause = RESUME_PAUSE_MS; !this.#abort.signal.aborted && performance.now() < deadline; pause *= 2) {
      try {
        const patience = Math.min(RESUME_TRY_MS, deadline - performance.now());
        await this.#connect(patience, async (sdp) => {
          const resume = { callId: this.#callId, resumeToken: this.#resumeToken, sdp };
          const answer = await this.#signaling.resumeCall(resume, this.#abort.signal, patience);
          this.#resumeToken = answer.resume_token ?? this.#resumeToken;
          return answer.sdp;
        });
        this.#setState("connected");
        return;
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        if (error instanceof SignalingError && FINAL.has(error.status)) {
          this.#end({ code: error.status === 404 || error.status === 410 ? "gone" : "refused", error });
          return;
        }
      }
      await this.#pause(Math.min(pause, deadline - performance.now()));
    }
    this.#end({ code: "lost" });
  }

  /**
   * Open a connection and wait until media flows. Where that fails it throws, and the one before stays in place.
   *
   * @param {number} timeoutMs
   * @param {(offer: string) => Promise<string>} exchange offer in, answer out
   */
  async #connect(timeoutMs, exchange) {
    const before = this.#connection;
    before?.retire();
    const connection = new Connection(this.#iceServers, this.#microphone, {
      onEvent: (event) => this.#receive(event),
      onVoice: (stream) => this.#listener.onVoice(stream),
      onLost: (why) => this.#resume(why),
    });
    this.#connection = connection;
    let answered = false;
    try {
      const answer = await exchange(await connection.offer());
      answered = true;
      await connection.accept(answer, (batch) => this.#signaling.sendCandidates(this.#callId, batch, this.#abort.signal));
      await connection.established(timeoutMs, this.#abort.signal);
    } catch (error) {
      connection.close();
      if (!answered) this.#connection = before;
      throw error;
    } finally {
      if (answered || this.#abort.signal.aborted) before?.close();
    }
  }

  /** @param {any} event */
  #receive(event) {
    if (this.#state === "ended") return;
    this.#listener.onEvent(event);
    if (event.type === "morgan.call.ended") this.#end({ code: String(event.reason ?? "ended"), message: event.message });
  }

  /** @param {CallEnd} end */
  #end(end) {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#abort.abort();
    this.#wake();
    this.#leave(end.code === "gone" ? "" : this.#callId);
    this.#listener.onEnd(end);
  }

  /** Close after hanging up, not before: a close reaches the server too. @param {string} callId */
  async #leave(callId) {
    const connection = this.#connection;
    connection?.retire();
    if (callId) await Promise.race([this.#signaling.hangUp(callId), this.#pause(LEAVE_MS)]);
    connection?.close();
  }

  /** @param {CallState} state */
  #setState(state) {
    if (this.#state === "ended") return;
    this.#state = state;
    this.#listener.onState(state);
  }

  /** @param {number} ms */
  #pause(ms) {
    return new Promise((resolve) => {
      this.#wake = () => resolve(undefined);
      setTimeout(resolve, Math.max(0, ms));
    });
  }
}
