/**
 * The HTTP half of a call: every request to the server, and the errors that they end in.
 *
 * @typedef {{call_id: string, sdp: string, type: "answer", conversation_id: string, resume_token: string,
 *   ice_servers?: RTCIceServer[]}} CallAnswer
 * @typedef {{sdp: string, type: "answer", resume_token?: string}} ResumeAnswer
 * @typedef {{candidate: string, sdpMid: string|null, sdpMLineIndex: number|null}} Candidate
 * @typedef {{userId?: string|(() => string), conversationId?: string|null, language?: string|null, voice?: string|null,
 *   instructions?: string|null}} Caller
 * @typedef {{token: string, user_id?: string}} Session
 * @typedef {string|null|undefined|(() => string|null|undefined|Promise<string|null|undefined>)} Token
 */

const TIMEOUT_MS = 10_000;
/** Join tokens begin so. */
export const JOIN = "mt_";

/** Where this module came from is where Morgan is, unless somebody says otherwise. */
export const HOME = new URL("../../", import.meta.url).href;

/** A request that did not end well. `status` is the HTTP status, 0 when no answer came at all. */
export class SignalingError extends Error {
  /**
   * @param {number} status
   * @param {string} code from the server's `{"error": {"code", "message"}}`, or one of ours
   * @param {string} message in words for the caller
   * @param {number|null} retryAfterS from `Retry-After`
   */
  constructor(status, code, message, retryAfterS = null) {
    super(message);
    this.name = "SignalingError";
    this.status = status;
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

/** Speaks `/api` of one server; paths are relative to its address, so that a path prefix of a proxy is kept. */
export class Signaling {
  #server;
  #token;
  /** The token of the last request; what is sent as the page goes cannot wait for another. @type {string|null} */
  #given = null;
  /** What a join token, which is good for one request, was exchanged for. @type {{of: string, session: Promise<Session>}|null} */
  #joined = null;

  /**
   * @param {string|URL} [server] address of Morgan; the one that this module came from
   * @param {Token} [token] an access key or a join token, or a function that is asked for it before every request
   */
  constructor(server = HOME, token = null) {
    this.#server = new URL(server, document.baseURI);
    if (!this.#server.pathname.endsWith("/")) this.#server.pathname += "/";
    this.#token = token;
  }

  /**
   * What the server offers, which may be nothing, and for how long its credentials are good.
   *
   * @param {AbortSignal} signal @returns {Promise<{servers: RTCIceServer[], ttlMs: number}>}
   */
  async iceServers(signal) {
    try {
      const answer = await this.request("GET", "api/ice-servers", undefined, signal);
      const servers = Array.isArray(answer?.ice_servers) ? answer.ice_servers : [];
      return { servers, ttlMs: answer?.ttl_s ? answer.ttl_s * 1000 : Infinity };
    } catch (error) {
      if (error instanceof SignalingError && error.status === 404) return { servers: [], ttlMs: Infinity };
      throw error;
    }
  }

  /**
   * Place a call. Not to be aborted: a call that the server has opened must be known, to be hung up.
   *
   * @param {string} sdp the offer; candidates follow by `sendCandidates`
   * @param {Caller} caller
   * @returns {Promise<CallAnswer>}
   */
  async createCall(sdp, caller) {
    /** @type {Record<string, string>} */
    const body = { sdp, type: "offer" };
    const user = (await this.joinedUser()) ?? (typeof caller.userId === "function" ? caller.userId() : caller.userId);
    if (user) body.user_id = user;
    if (caller.conversationId) body.conversation_id = caller.conversationId;
    if (caller.language) body.language = caller.language;
    if (caller.voice) body.voice = caller.voice;
    if (caller.instructions) body.instructions = caller.instructions;
    return this.request("POST", "api/calls", body);
  }

  /**
   * The same call on a new connection.
   *
   * @param {{callId: string, resumeToken: string, sdp: string}} resume @param {AbortSignal} signal @param {number} timeoutMs
   * @returns {Promise<ResumeAnswer>}
   */
  resumeCall({ callId, resumeToken, sdp }, signal, timeoutMs) {
    const body = { sdp, type: "offer", resume_token: resumeToken };
    return this.request("PATCH", callPath(callId), body, signal, timeoutMs);
  }

  /** @param {string} callId @param {Candidate[]} candidates @param {AbortSignal} signal */
  async sendCandidates(callId, candidates, signal) {
    await this.request("PATCH", callPath(callId), { candidates }, signal);
  }

  /**
   * Hang up. Outlives the page (`keepalive`), so it works from `pagehide`; there is nobody left to tell if it fails.
   *
   * @param {string} callId
   * @returns {Promise<boolean>} whether the server confirmed
   */
  async hangUp(callId) {
    try {
      const headers = this.#headers(this.#given);
      const response = await fetch(this.#url(callPath(callId)), { method: "DELETE", headers, keepalive: true });
      return response.ok;
    } catch {
      return false;
    }
  }

  /** Who a join token says that its holder is; null without one. @returns {Promise<string|null>} */
  async joinedUser() {
    return (await this.#session())?.user_id ?? null;
  }

  /** @returns {Promise<Session|null>} */
  async #session() {
    const given = (typeof this.#token === "function" ? await this.#token() : this.#token) || null;
    if (!given) return null;
    if (!given.startsWith(JOIN)) return { token: given };
    if (this.#joined?.of !== given) this.#joined = { of: given, session: this.exchange(given) };
    try {
      return await this.#joined.session;
    } catch (error) {
      this.#joined = null;
      throw error;
    }
  }

  /** Make a session, which lasts for hours, of a join token, which is good once. @param {string} token @returns {Promise<Session>} */
  exchange(token) {
    return this.request("POST", "api/tokens/exchange", undefined, undefined, TIMEOUT_MS, readJson, token);
  }

  /** @param {string|null} token @returns {Record<string, string>} */
  #headers(token) {
    return token ? { Authorization: `Bearer ${token}` } : {};
  }

  /** @param {string} path */
  #url(path) {
    return new URL(path, this.#server);
  }

  /**
   * Any request to the server; its JSON answer, null where there is none.
   *
   * @param {string} method @param {string} path relative to the server's address, with its query
   * @param {object} [body] sent as JSON @param {AbortSignal} [signal] gives up early @param {number} [timeoutMs]
   * @param {(response: Response) => Promise<any>} [read] what is made of a good answer
   * @param {string|null} [token] in place of the usual one
   * @returns {Promise<any>}
   */
  async request(method, path, body, signal, timeoutMs = TIMEOUT_MS, read = readJson, token = null) {
    const stop = new AbortController();
    const abort = () => stop.abort();
    const timer = setTimeout(abort, timeoutMs);
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
    try {
      const bearer = token ?? (await this.#session())?.token ?? null;
      if (!token) this.#given = bearer;
      const headers = this.#headers(bearer);
      if (body !== undefined) headers["Content-Type"] = "application/json";
      const sent = { method, headers, body: body && JSON.stringify(body), signal: stop.signal, cache: /** @type {const} */ ("no-store") };
      const response = await fetch(this.#url(path), sent);
      if (!response.ok) throw failure(response, await readJson(response));
      return await read(response);
    } catch (error) {
      if (error instanceof SignalingError) throw error;
      if (signal?.aborted) throw new SignalingError(0, "cancelled", "Cancelled.");
      throw new SignalingError(0, "unreachable", "No answer from the server.");
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }
}

/** @param {string} callId */
function callPath(callId) {
  return `api/calls/${encodeURIComponent(callId)}`;
}

/** @param {Response} response */
async function readJson(response) {
  const text = await response.text();
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    if (!response.ok) return null; // a proxy's error page: its status says enough
    throw new SignalingError(response.status, "bad_answer", "The server answered with something that is not JSON.");
  }
}

/** @param {Response} response @param {any} answer */
function failure(response, answer) {
  const code = String(answer?.error?.code ?? `http_${response.status}`);
  const message = String(answer?.error?.message ?? `The server answered ${response.status}.`);
  const retryAfter = Number(response.headers.get("Retry-After") || NaN);
  return new SignalingError(response.status, code, message, Number.isFinite(retryAfter) ? retryAfter : null);
}
