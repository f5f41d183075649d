/**
 * One RTCPeerConnection from offer to close. A call outlives it: after a loss it goes on over the next one.
 *
 * @typedef {import("./signaling.js").Candidate} Candidate
 * @typedef {object} ConnectionListener
 * @property {(event: any) => void} onEvent an event of the data channel, parsed
 * @property {(stream: MediaStream) => void} onVoice the assistant's audio
 * @property {(why: string) => void} onLost it had been established and is gone for good; called once
 */

/** ICE often heals a short loss by itself; waiting longer than this is a pause that a caller notices. */
const DISCONNECTED_MS = 2000;
const TRICKLE_MS = 100;
const TRICKLE_TRIES = 3;
const MAX_UNSAID = 32;

export class Connection {
  #pc;
  #channel;
  #listener;
  #sender;
  /** @type {Candidate[]} */
  #candidates = [];
  /** @type {((candidates: Candidate[]) => Promise<void>)|null} */
  #deliver = null;
  #failedDeliveries = 0;
  #trickleTimer = 0;
  #lossTimer = 0;
  /** How `established` ends. @type {{resolve: () => void, reject: (why: Error) => void}|null} */
  #waiting = null;
  #lost = false;
  #over = false;
  /** What is to be said once the channel is open. @type {string[]} */
  #unsaid = [];

  /**
   * @param {{iceServers: RTCIceServer[], relayOnly?: boolean}} way @param {MediaStream} microphone
   * @param {ConnectionListener} listener
   */
  constructor({ iceServers, relayOnly }, microphone, listener) {
    this.#listener = listener;
    this.#pc = new RTCPeerConnection({ iceServers, iceTransportPolicy: relayOnly ? "relay" : "all", bundlePolicy: "max-bundle" });
    this.#channel = this.#pc.createDataChannel("oai-events");
    this.#sender = this.#pc.addTrack(microphone.getAudioTracks()[0], microphone);
    this.#channel.onmessage = (message) => this.#receive(message.data);
    this.#channel.onopen = () => this.#unsaid.splice(0).forEach((text) => this.#channel.send(text));
    this.#channel.onclose = () => this.#lose("channel closed");
    this.#pc.ontrack = (event) => listener.onVoice(event.streams[0] ?? new MediaStream([event.track]));
    this.#pc.onicecandidate = (event) => this.#gathered(event.candidate);
    this.#pc.oniceconnectionstatechange = () => this.#iceChanged();
    this.#pc.onconnectionstatechange = () => {
      if (this.#over) return;
      if (this.#pc.connectionState === "connected") this.#waiting?.resolve();
      if (this.#pc.connectionState === "failed") this.#lose("connection failed");
    };
  }

  /** @returns {Promise<string>} the offer, without waiting for candidates */
  async offer() {
    await this.#pc.setLocalDescription();
    return /** @type {RTCSessionDescription} */ (this.#pc.localDescription).sdp;
  }

  /** @param {string} sdp the answer @param {(batch: Candidate[]) => Promise<void>} deliver takes the local candidates */
  async accept(sdp, deliver) {
    this.#deliver = deliver;
    this.#scheduleTrickle();
    await this.#pc.setRemoteDescription({ type: "answer", sdp });
  }

  /** Wait until media flows, once, after `accept`. Rejects on a loss. @param {number} timeoutMs @param {AbortSignal} signal */
  async established(timeoutMs, signal) {
    /** @type {Promise<void>} */
    const outcome = new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
    const fail = () => this.#waiting?.reject(new Error(signal.aborted ? "stopped" : "timed out"));
    const timer = setTimeout(fail, timeoutMs);
    signal.addEventListener("abort", fail);
    if (this.#pc.connectionState === "connected") this.#waiting?.resolve();
    if (this.#lost || signal.aborted) fail();
    try {
      await outcome;
    } finally {
      this.#waiting = null;
      clearTimeout(timer);
      signal.removeEventListener("abort", fail);
    }
  }

  /** @param {MediaStreamTrack} track takes the place of the microphone in use */
  async replaceTrack(track) {
    await this.#sender.replaceTrack(track);
  }

  /** @param {object} event goes over the data channel, as soon as it is open */
  send(event) {
    const text = JSON.stringify(event);
    if (this.#channel.readyState === "open") this.#channel.send(text);
    else if (this.#channel.readyState === "connecting" && this.#unsaid.length < MAX_UNSAID) this.#unsaid.push(text);
  }

  /** @returns {Promise<RTCStatsReport>} */
  stats() {
    return this.#pc.getStats();
  }

  /** Whether ICE still has a path, as far as the browser knows. */
  get alive() {
    return !this.#lost && ["connected", "completed"].includes(this.#pc.iceConnectionState);
  }

  /**
   * Say nothing more of losses, but go on: another connection is on its way. It may be closed only when that one has been
   * answered, since DTLS tells the server, which would take it for hanging up.
   */
  retire() {
    this.#lost = true;
    clearTimeout(this.#lossTimer);
  }

  /** Close without a word to the listener; the server learns of it where it still can be reached. */
  close() {
    this.#over = true;
    clearTimeout(this.#lossTimer);
    clearTimeout(this.#trickleTimer);
    this.#channel.close();
    this.#pc.close();
  }

  /** @param {string} why */
  #lose(why) {
    if (this.#over || this.#lost) return;
    this.retire();
    if (this.#waiting) this.#waiting.reject(new Error(why));
    else this.#listener.onLost(why);
  }

  #iceChanged() {
    clearTimeout(this.#lossTimer);
    const state = this.#pc.iceConnectionState;
    if (state === "failed") this.#lose("ice failed");
    if (state === "disconnected") this.#lossTimer = setTimeout(() => this.#lose("ice disconnected"), DISCONNECTED_MS);
  }

  /** @param {RTCIceCandidate|null} candidate */
  #gathered(candidate) {
    if (!candidate?.candidate || this.#over) return; // null and "" mark the end, which the server need not know
    this.#candidates.push({ candidate: candidate.candidate, sdpMid: candidate.sdpMid, sdpMLineIndex: candidate.sdpMLineIndex });
    this.#scheduleTrickle();
  }

  #scheduleTrickle() {
    if (this.#trickleTimer || !this.#deliver || this.#over) return;
    this.#trickleTimer = setTimeout(() => this.#trickle(), TRICKLE_MS);
  }

  async #trickle() {
    this.#trickleTimer = 0;
    const batch = this.#candidates.splice(0);
    if (!batch.length || !this.#deliver) return;
    try {
      await this.#deliver(batch);
    } catch (error) {
      this.#failedDeliveries += 1;
      if (this.#over || this.#failedDeliveries >= TRICKLE_TRIES) return; // checks from here still reach the server (prflx)
      this.#candidates.unshift(...batch);
      this.#scheduleTrickle();
    }
  }

  /** @param {unknown} data */
  #receive(data) {
    if (this.#over || typeof data !== "string") return;
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      console.warn("data channel: not JSON", data.slice(0, 80));
      return;
    }
    if (event && typeof event.type === "string") this.#listener.onEvent(event);
  }
}
