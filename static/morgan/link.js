/**
 * What links a call to the server: placed there, moved onto another connection, placed anew in the same conversation
 * where the server does not know it any more, and hung up.
 *
 * @import {CallOptions} from "../morgan.js"
 * @typedef {import("./connection.js").ConnectionListener} ConnectionListener
 */

import { Connection } from "./connection.js";
import { Signaling, SignalingError } from "./signaling.js";

const LEAVE_MS = 1000;
/** The server does not know the call any more. */
const GONE = new Set([404, 410]);

export class Link {
  /** Known once the server has answered; "" before. */
  callId = "";
  /** Known once the server has answered; "" before. */
  conversationId;
  /** The newest one; it may not stand yet. @type {Connection|null} */
  connection = null;
  #resumeToken = "";
  /** @type {RTCIceServer[]} */
  #iceServers = [];
  /** From then on other credentials are asked for, on the clock of `performance.now()`. */
  #iceServersUntil = 0;
  #signaling;
  #options;
  #microphone;
  #listener;
  #signal;

  /**
   * @param {CallOptions} options @param {() => MediaStream} microphone the one of now
   * @param {ConnectionListener} listener @param {AbortSignal} signal the call is over
   */
  constructor(options, microphone, listener, signal) {
    this.#options = options;
    this.#microphone = microphone;
    this.conversationId = options.conversationId ?? "";
    this.#signaling = new Signaling(options.server, options.token);
    this.#listener = listener;
    this.#signal = signal;
  }

  /** TURN servers take a credential for a while only: a call that has lasted asks for another one. */
  async findIceServers() {
    if (performance.now() < this.#iceServersUntil) return;
    const { servers, ttlMs } = await this.#signaling.iceServers(this.#signal);
    this.#iceServers = servers;
    this.#iceServersUntil = performance.now() + ttlMs / 2;
  }

  /** A new call, in the conversation that there is. @param {number} timeoutMs */
  place(timeoutMs) {
    return this.#connect(timeoutMs, async (sdp) => {
      const { userId, language, voice, instructions } = this.#options;
      const answer = await this.#signaling.createCall(sdp, { userId, language, voice, instructions, conversationId: this.conversationId });
      this.callId = answer.call_id;
      if (this.#signal.aborted) this.#signaling.hangUp(this.callId); // hung up before the server had answered
      this.#resumeToken = answer.resume_token;
      this.conversationId = answer.conversation_id;
      return answer.sdp;
    });
  }

  /**
   * The same call where the server still has it, else a new one that goes on with its conversation.
   *
   * @param {number} timeoutMs @returns {Promise<boolean>} it is a new one
   */
  async again(timeoutMs) {
    if (this.callId) {
      try {
        await this.#move(timeoutMs);
        return false;
      } catch (error) {
        if (!(error instanceof SignalingError && GONE.has(error.status))) throw error;
        this.callId = "";
      }
    }
    try {
      await this.place(timeoutMs);
      return true;
    } catch (error) {
      if (this.callId) this.#signaling.hangUp(this.callId);
      this.callId = "";
      throw error;
    }
  }

  /** Close after hanging up, not before: a close reaches the server too. */
  async leave() {
    const connection = this.connection;
    connection?.retire();
    if (this.callId) await Promise.race([this.#signaling.hangUp(this.callId), new Promise((resolve) => setTimeout(resolve, LEAVE_MS))]);
    connection?.close();
  }

  /** The same call, on a new connection. @param {number} timeoutMs */
  #move(timeoutMs) {
    return this.#connect(timeoutMs, async (sdp) => {
      const resume = { callId: this.callId, resumeToken: this.#resumeToken, sdp };
      const answer = await this.#signaling.resumeCall(resume, this.#signal, timeoutMs);
      this.#resumeToken = answer.resume_token ?? this.#resumeToken;
      return answer.sdp;
    });
  }

  /**
   * Open a connection and wait until media flows. Where that fails it throws, and the one before stays in place.
   *
   * @param {number} timeoutMs @param {(offer: string) => Promise<string>} exchange offer in, answer out
   */
  async #connect(timeoutMs, exchange) {
    const before = this.connection;
    before?.retire();
    const way = { iceServers: this.#iceServers, relayOnly: this.#options.relayOnly };
    const connection = new Connection(way, this.#microphone(), this.#listener);
    this.connection = connection;
    let answered = false;
    try {
      const answer = await exchange(await connection.offer());
      answered = true;
      await connection.accept(answer, (batch) => this.#signaling.sendCandidates(this.callId, batch, this.#signal));
      await connection.established(timeoutMs, this.#signal);
    } catch (error) {
      connection.close();
      if (!answered) this.connection = before;
      throw error;
    } finally {
      if (answered || this.#signal.aborted) before?.close();
    }
  }
}
