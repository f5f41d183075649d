/**
 * One call: placed, trickled, taken up on a new connection when the network changes, ended. Knows no React Native: whoever
 * makes it says how a peer connection is made and hears of its state, so that it runs under Node too.
 *
 * States: "connecting", "connected", "reconnecting", "ended".
 */

import { SignalingError } from "./signaling.js";

const CHANNEL = "oai-events";
/** The server waits for a caller who vanished (`MORGAN_LOST_GRACE_S`); after that the conversation goes on in a new call. */
const GIVE_UP_MS = 120_000;
const CONNECT_MS = 12_000;
const PAUSES_MS = [0, 500, 1000, 2000, 4000];

export class MorganCall {
  #signaling;
  #options;
  #makePeer;
  #listener;
  #peer = null;
  #callId = null;
  #resumeToken = null;
  #conversationId;
  /** Counts connections: what an older one still says is not heard. */
  #turn = 0;
  #state = "connecting";
  #reconnecting = false;
  #waiting = null;

  /**
   * @param {import("./signaling.js").Signaling} signaling
   * @param {{userId?: string, conversationId?: string, language?: string, voice?: string}} options
   * @param {(iceServers: object[]) => Promise<RTCPeerConnection>} makePeer with the microphone's track in it
   * @param {{state?: (state: string) => void, event?: (event: object) => void, ended?: (reason: string, error?: Error) => void}} listener
   */
  constructor(signaling, options, makePeer, listener = {}) {
    this.#signaling = signaling;
    this.#options = options;
    this.#conversationId = options.conversationId;
    this.#makePeer = makePeer;
    this.#listener = listener;
  }

  get state() {
    return this.#state;
  }

  get callId() {
    return this.#callId;
  }

  get conversationId() {
    return this.#conversationId;
  }

  /** Place the call; rejects with the `SignalingError` or what the microphone threw. */
  async start() {
    try {
      await this.#connect(false);
    } catch (error) {
      this.#finish("failed", error);
      throw error;
    }
  }

  /** The phone is on another network now, or back on one: do not wait until the old path is found dead. */
  networkChanged() {
    if (this.#state !== "ended" && this.#callId) this.#reconnect();
  }

  /** Say something in writing. @param {string} text @returns {boolean} whether it could be sent */
  say(text) {
    const item = { type: "message", role: "user", content: [{ type: "input_text", text }] };
    return this.#tell({ type: "conversation.item.create", item }) && this.#tell({ type: "response.create" });
  }

  /** Hang up. */
  async end() {
    const callId = this.#callId;
    this.#finish("hangup");
    if (callId) await this.#signaling.hangUp(callId).catch(() => {}); // the server finds out by itself
  }

  #tell(event) {
    const channel = this.#peer?.channel;
    if (channel?.readyState !== "open") return false;
    channel.send(JSON.stringify(event));
    return true;
  }

  /**
   * A connection, for a new call or for the one that there is. The one before is closed when the server has answered: to
   * close it sooner is to hang up.
   *
   * @param {boolean} resumed
   */
  async #connect(resumed) {
    const turn = ++this.#turn;
    const mine = () => turn === this.#turn && this.#state !== "ended";
    const connection = await this.#makePeer(await this.#signaling.iceServers());
    if (!mine()) return connection.close();
    const before = this.#peer;
    const channel = connection.createDataChannel(CHANNEL);
    this.#peer = { connection, channel };
    channel.onmessage = ({ data }) => mine() && this.#listener.event?.(JSON.parse(data));
    const found = new Candidates((batch) => mine() && this.#callId && this.#signaling.trickle(this.#callId, batch));
    connection.onicecandidate = ({ candidate }) => mine() && candidate && found.add(candidate);
    connection.onconnectionstatechange = () => mine() && this.#changed(connection.connectionState);
    await connection.setLocalDescription(await connection.createOffer());
    const { sdp } = connection.localDescription;
    let answer;
    try {
      answer = resumed ? await this.#signaling.resume(this.#callId, this.#resumeToken, sdp) : await this.#place(sdp);
    } catch (error) {
      connection.close();
      if (mine()) this.#peer = before;
      throw error;
    }
    before?.connection.close();
    if (!mine()) {
      connection.close();
      // Hung up while the server answered: it must not keep the line.
      if (!resumed && this.#state === "ended") this.#signaling.hangUp(answer.call_id).catch(() => {});
      return;
    }
    if (!resumed) {
      this.#callId = answer.call_id;
      this.#resumeToken = answer.resume_token;
      this.#conversationId = answer.conversation_id;
    }
    await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    found.go();
  }

  async #place(sdp) {
    try {
      return await this.#signaling.create({ ...this.#options, conversationId: this.#conversationId, sdp });
    } catch (error) {
      if (!(error instanceof SignalingError) || error.status !== 404 || !this.#conversationId) throw error;
      this.#conversationId = undefined; // it was deleted, or nothing was said in it
      return this.#signaling.create({ ...this.#options, conversationId: undefined, sdp });
    }
  }

  /** @param {string} connectionState of the newest connection */
  #changed(connectionState) {
    if (connectionState === "connected") {
      this.#waiting?.(true);
      this.#show("connected");
    } else if (connectionState === "failed" || connectionState === "disconnected") {
      this.#waiting?.(false);
      if (this.#callId) this.#reconnect();
    }
  }

  async #reconnect() {
    if (this.#reconnecting) return this.#waiting?.(false); // begin anew at once: the network has changed once more
    this.#reconnecting = true;
    this.#show("reconnecting");
    const giveUpAt = Date.now() + GIVE_UP_MS;
    try {
      for (let tries = 0; this.#state !== "ended"; tries += 1) {
        await new Promise((done) => setTimeout(done, PAUSES_MS[Math.min(tries, PAUSES_MS.length - 1)]));
        if (this.#state === "ended") return;
        if (Date.now() > giveUpAt) return this.#finish("lost");
        if (await this.#oneMoreTry()) return;
      }
    } finally {
      this.#reconnecting = false;
    }
  }

  /** @returns {Promise<boolean>} whether there is nothing more to try */
  async #oneMoreTry() {
    const stands = new Promise((done) => {
      const timer = setTimeout(() => done(false), CONNECT_MS);
      this.#waiting = (yes) => (clearTimeout(timer), done(yes));
    });
    try {
      await this.#connect(true);
      return await stands;
    } catch (error) {
      const status = error instanceof SignalingError ? error.status : 0;
      if (status === 404) return this.#beginAnew(stands);
      if (status === 401 || status === 403) return this.#finish("refused", error), true;
      return false; // no network yet, a full or a restarting server
    } finally {
      this.#waiting = null;
    }
  }

  /** The server has lost the call, by a restart or because it took too long: the conversation goes on in a new one. */
  async #beginAnew(stands) {
    try {
      await this.#connect(false);
      return await stands;
    } catch {
      return false;
    }
  }

  #show(state) {
    if (this.#state === state || this.#state === "ended") return;
    this.#state = state;
    this.#listener.state?.(state);
  }

  #finish(reason, error) {
    if (this.#state === "ended") return;
    this.#show("ended");
    this.#turn += 1;
    this.#waiting?.(false);
    this.#peer?.connection.close();
    this.#peer = null;
    this.#listener.ended?.(reason, error);
  }
}

/** Candidates wait until the server knows the call, and travel together. */
class Candidates {
  #found = [];
  #send;
  #ready = false;
  #timer = null;

  constructor(send) {
    this.#send = send;
  }

  add({ candidate, sdpMid, sdpMLineIndex }) {
    this.#found.push({ candidate, sdpMid, sdpMLineIndex });
    this.#soon();
  }

  go() {
    this.#ready = true;
    this.#soon();
  }

  #soon() {
    if (!this.#ready || this.#timer !== null || !this.#found.length) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const batch = this.#found.splice(0);
      Promise.resolve(this.#send(batch)).catch(() => {}); // checks from our side reach the server all the same
    }, 50);
  }
}
