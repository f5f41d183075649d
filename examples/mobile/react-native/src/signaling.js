/**
 * The HTTP half of a call: every request to Morgan (docs/signaling.md). Plain JavaScript that needs `fetch` and nothing of
 * React Native, so that it runs under Node too.
 */

const TIMEOUT_MS = 10_000;
const JOIN = "mt_";

/** A request that did not end well: `status` is 0 where no answer came, `retryAfterS` is null where the server names none. */
export class SignalingError extends Error {
  constructor(status, code, message, retryAfterS = null) {
    super(message);
    this.name = "SignalingError";
    this.status = status;
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

export class Signaling {
  #server;
  #token;
  #session = null;
  #iceServers = [];
  #iceServersUntil = 0;

  /**
   * @param {string} server address of Morgan, such as https://morgan.example.org
   * @param {string|null} token a join token ("mt_...", good once, exchanged for a session of some hours), or a key
   */
  constructor(server, token = null) {
    this.#server = server.replace(/\/+$/, "");
    this.#token = token;
  }

  /** Place a call. @param {{sdp: string, userId?: string, conversationId?: string, language?: string, voice?: string}} call */
  async create({ sdp, userId, conversationId, language, voice }) {
    const user = (await this.#authorised())?.user_id ?? userId; // a join token says who its holder is
    const body = { sdp, type: "offer", user_id: user, conversation_id: conversationId, language, voice };
    return this.#request("POST", "/api/calls", body);
  }

  /** @param {string} callId @param {{candidate: string, sdpMid: string|null, sdpMLineIndex: number|null}[]} candidates */
  trickle(callId, candidates) {
    return this.#request("PATCH", `/api/calls/${encodeURIComponent(callId)}`, { candidates });
  }

  /** The same call on a new connection. @param {string} callId @param {string} resumeToken @param {string} sdp */
  resume(callId, resumeToken, sdp) {
    return this.#request("PATCH", `/api/calls/${encodeURIComponent(callId)}`, { sdp, type: "offer", resume_token: resumeToken });
  }

  /** @param {string} callId */
  hangUp(callId) {
    return this.#request("DELETE", `/api/calls/${encodeURIComponent(callId)}`);
  }

  /** As RTCPeerConnection takes them: TURN servers, where Morgan has any. Asked for anew when half of their time is over. */
  async iceServers() {
    if (Date.now() >= this.#iceServersUntil) {
      const answer = await this.#request("GET", "/api/ice-servers");
      this.#iceServers = answer.ice_servers;
      this.#iceServersUntil = answer.ttl_s ? Date.now() + answer.ttl_s * 500 : Infinity;
    }
    return this.#iceServers;
  }

  /** Keep the one exchange of a join token for all requests; try it again where it found no server. */
  async #authorised() {
    if (!this.#token) return null;
    if (!this.#token.startsWith(JOIN)) return { token: this.#token };
    this.#session ??= this.#send("POST", "/api/tokens/exchange", undefined, this.#token);
    try {
      return await this.#session;
    } catch (error) {
      this.#session = null;
      throw error;
    }
  }

  async #request(method, path, body) {
    return this.#send(method, path, body, (await this.#authorised())?.token);
  }

  async #send(method, path, body, bearer) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), TIMEOUT_MS);
    try {
      const headers = body === undefined ? {} : { "Content-Type": "application/json" };
      if (bearer) headers.Authorization = `Bearer ${bearer}`;
      const response = await fetch(this.#server + path, { method, headers, body: body && JSON.stringify(body), signal: stop.signal });
      const text = await response.text();
      const answer = text && (response.headers.get("Content-Type") ?? "").startsWith("application/json") ? JSON.parse(text) : null;
      if (response.ok) return answer;
      const { code = `http_${response.status}`, message = `The server answered ${response.status}.` } = answer?.error ?? {};
      const retryAfter = response.headers.get("Retry-After");
      throw new SignalingError(response.status, code, message, retryAfter === null ? null : Number(retryAfter));
    } catch (error) {
      if (error instanceof SignalingError) throw error;
      throw new SignalingError(0, "unreachable", "No answer from the server.");
    } finally {
      clearTimeout(timer);
    }
  }
}
