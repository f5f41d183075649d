/**
 * The HTTP half of a call: every request that the page makes, and the errors that they end in.
 *
 * @typedef {{call_id: string, sdp: string, type: "answer", conversation_id: string, resume_token: string,
 *   ice_servers?: RTCIceServer[]}} CallAnswer
 * @typedef {{sdp: string, type: "answer", resume_token?: string}} ResumeAnswer
 * @typedef {{candidate: string, sdpMid: string|null, sdpMLineIndex: number|null}} Candidate
 * @typedef {{userId: string, conversationId?: string|null, language?: string|null}} Caller
 */

const TIMEOUT_MS = 10_000;

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

/** Speaks `/api/calls` and `/api/ice-servers`, relative to the page, so that a path prefix of a proxy is kept. */
export class Signaling {
  #key;

  /** @param {() => string|null} key the access key, asked for before every request */
  constructor(key) {
    this.#key = key;
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<RTCIceServer[]>} empty where the server offers none
   */
  async iceServers(signal) {
    try {
      const answer = await this.#request("GET", "api/ice-servers", undefined, signal);
      return Array.isArray(answer?.ice_servers) ? answer.ice_servers : [];
    } catch (error) {
      if (error instanceof SignalingError && error.status === 404) return [];
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
  createCall(sdp, caller) {
    /** @type {Record<string, string>} */
    const body = { sdp, type: "offer", user_id: caller.userId };
    if (caller.conversationId) body.conversation_id = caller.conversationId;
    if (caller.language) body.language = caller.language;
    return this.#request("POST", "api/calls", body);
  }

  /**
   * The same call on a new connection.
   *
   * @param {{callId: string, resumeToken: string, sdp: string}} resume
   * @param {AbortSignal} signal
   * @param {number} timeoutMs
   * @returns {Promise<ResumeAnswer>}
   */
  resumeCall({ callId, resumeToken, sdp }, signal, timeoutMs) {
    const body = { sdp, type: "offer", resume_token: resumeToken };
    return this.#request("PATCH", callPath(callId), body, signal, timeoutMs);
  }

  /**
   * @param {string} callId
   * @param {Candidate[]} candidates
   * @param {AbortSignal} signal
   * @returns {Promise<void>}
   */
  async sendCandidates(callId, candidates, signal) {
    await this.#request("PATCH", callPath(callId), { candidates }, signal);
  }

  /**
   * Hang up. Outlives the page (`keepalive`), so it works from `pagehide`; there is nobody left to tell if it fails.
   *
   * @param {string} callId
   * @returns {Promise<boolean>} whether the server confirmed
   */
  async hangUp(callId) {
    try {
      const response = await fetch(url(callPath(callId)), { method: "DELETE", headers: this.#headers(), keepalive: true });
      return response.ok;
    } catch {
      return false;
    }
  }

  /** @returns {Record<string, string>} */
  #headers() {
    const key = this.#key();
    return key ? { Authorization: `Bearer ${key}` } : {};
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object|undefined} body sent as JSON
   * @param {AbortSignal} [signal] gives up early
   * @param {number} [timeoutMs]
   * @returns {Promise<any>} the JSON answer, null where there is none
   */
  async #request(method, path, body, signal, timeoutMs = TIMEOUT_MS) {
    const stop = new AbortController();
    const abort = () => stop.abort();
    const timer = setTimeout(abort, timeoutMs);
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
    try {
      const headers = this.#headers();
      if (body !== undefined) headers["Content-Type"] = "application/json";
      const sent = { method, headers, body: body && JSON.stringify(body), signal: stop.signal, cache: /** @type {const} */ ("no-store") };
      const response = await fetch(url(path), sent);
      const answer = await readJson(response);
      if (!response.ok) throw failure(response, answer);
      return answer;
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

/** @param {string} path */
function url(path) {
  return new URL(path, document.baseURI);
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

/**
 * @param {Response} response
 * @param {any} answer
 */
function failure(response, answer) {
  const code = String(answer?.error?.code ?? `http_${response.status}`);
  const message = String(answer?.error?.message ?? `The server answered ${response.status}.`);
  const retryAfter = Number(response.headers.get("Retry-After") || NaN);
  return new SignalingError(response.status, code, message, Number.isFinite(retryAfter) ? retryAfter : null);
}
