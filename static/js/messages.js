/**
 * What the caller is told when something does not work: what happened, and what to do about it.
 *
 * @typedef {{code: string, title: string, text: string, action?: string, key?: boolean, write?: boolean, kind?: "news"}} Notice
 * `write`: the call can be placed without a microphone.
 */

import { SignalingError } from "../morgan.js";

const AGAIN = "Try again";

/** @param {string} code @param {string} title @param {string} text @param {string} [action] @returns {Notice} */
const told = (code, title, text, action) => ({ code, title, text, action });

/** @param {string} code @param {string} title @param {string} text @returns {Notice} */
const noMicrophone = (code, title, text) => ({ ...told(code, title, text, AGAIN), write: true });

/** @type {Record<string, Notice>} */
const MICROPHONE = {
  NotAllowedError: noMicrophone("microphone_refused", "Morgan may not use the microphone",
    "Allow it for this page in the browser’s address bar or site settings, then call again. Or write, and hear Morgan answer."),
  NotFoundError: noMicrophone("microphone_not_found", "No microphone was found",
    "Plug one in or switch it on, then call again. Or write, and hear Morgan answer."),
  NotReadableError: noMicrophone("microphone_in_use", "The microphone is in use",
    "Another program holds it. Close that program, or choose another microphone in the settings."),
  InsecureContextError: told("insecure_context", "This address cannot use a microphone",
    "Browsers allow it only over https or on localhost. Open Morgan at an https:// address, or on the machine that it runs on at http://localhost."),
  NotSupportedError: told("unsupported", "This browser cannot place calls",
    "Morgan needs WebRTC. A current Chrome, Edge, Firefox or Safari has it."),
};

/** @param {unknown} error what getUserMedia threw @returns {Notice} */
export function microphoneNotice(error) {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  if (name === "SecurityError") return MICROPHONE.NotAllowedError;
  if (name === "AbortError") return MICROPHONE.NotReadableError;
  return MICROPHONE[name] ?? noMicrophone("microphone_failed", "The microphone did not start", String(error));
}

/** @returns {Notice|null} what can be said before anybody has pressed the button */
export function noticeAtStart() {
  if (!window.isSecureContext) return MICROPHONE.InsecureContextError;
  if (!window.RTCPeerConnection || !navigator.mediaDevices) return MICROPHONE.NotSupportedError;
  return null;
}

/** What can befall a running call. @type {Record<string, Notice>} */
const TROUBLES = {
  microphone_taken: told("microphone_taken", "The microphone was taken away",
    "A phone call, Siri or the system uses it now. Morgan hears you again as soon as it is given back.", "Take it back"),
  microphone_gone: told("microphone_gone", "The microphone is gone",
    "Plug it in again or choose another one in the settings; the call goes on.", "Choose another"),
  microphone_silent: told("microphone_silent", "No sound from your microphone",
    "For 15 seconds it has been completely silent. Is it switched off, or is another one in use?", "Choose another"),
  server_restarts: { ...told("server_restarts", "Morgan is about to restart",
    "Say what you like: the call goes on by itself in a moment."), kind: "news" },
  audio_interrupted: told("audio_interrupted", "The sound was interrupted",
    "Another app has taken it. Press to bring it back.", "Bring the sound back"),
  audio_blocked: told("audio_blocked", "The browser plays no sound yet",
    "It waits for a tap. Press anywhere to hear Morgan.", "Hear Morgan"),
};

/** @param {string} code @param {unknown} error @returns {Notice} */
export function troubleNotice(code, error) {
  if (code !== "microphone_gone" || !error) return TROUBLES[code];
  return { ...TROUBLES[code], text: `${microphoneNotice(error).title}. ${TROUBLES[code].text}` };
}

/** @param {string} label @returns {Notice} */
export function microphoneChanged(label) {
  const text = label ? `You are heard through “${label}” now.` : "You are heard through another microphone now.";
  return { code: "microphone_changed", title: "The microphone has changed", text, kind: "news", action: "Choose another" };
}

/** @param {SignalingError} error @returns {Notice} */
export function joinNotice(error) {
  if (error.status === 0) return signalingNotice(error, false);
  return { code: "join_link", title: "This link is no longer good", text: "It can be used once and for a short time. Ask for a new one." };
}

/** @param {SignalingError} error @param {boolean} hadKey @returns {Notice} */
export function signalingNotice(error, hadKey) {
  if (error.status === 0) {
    const text = "Check that it is running and that you are online.";
    return { code: "unreachable", title: "The server cannot be reached", text, action: AGAIN };
  }
  if (error.status === 401) {
    const title = hadKey ? "That key was not accepted" : "This server asks for a key";
    return { code: "unauthorized", title, text: "It stays in this tab and is forgotten when you close it.", key: true };
  }
  const wait = error.retryAfterS ? ` Try again in ${Math.ceil(error.retryAfterS)} seconds.` : "";
  if (error.status === 503 && /shutting down|draining|restart/i.test(error.message)) {
    return { code: "restarting", title: "Morgan is restarting", text: "It takes calls again in less than a minute.", action: AGAIN };
  }
  if (error.status === 503) return { code: "full", title: "All lines are busy", text: error.message + wait, action: AGAIN };
  if (error.status === 429) return { code: "too_many", title: "Too many calls", text: error.message + wait, action: AGAIN };
  return { code: error.code, title: "The call was not accepted", text: error.message, action: AGAIN };
}

/** @type {Record<string, Notice|null>} null: nothing went wrong */
const ENDS = {
  hang_up: null,
  hangup: null,
  client_hangup: null,
  no_media: told("no_media", "No voice connection",
    "The server answered, but no sound gets through. A firewall may block UDP between this device and the server.", AGAIN),
  lost: told("lost", "The connection was lost",
    "Morgan tried for two minutes to bring the call back. Call again, and the conversation goes on.", "Call again"),
};

/** @param {import("../morgan.js").CallEnd} end @param {boolean} hadKey @returns {Notice|null} */
export function endNotice(end, hadKey) {
  if (end.code === "microphone") return microphoneNotice(end.error);
  if (end.error instanceof SignalingError && end.code === "refused") return signalingNotice(end.error, hadKey);
  if (Object.hasOwn(ENDS, end.code)) return ENDS[end.code];
  const text = end.message || `Reason: ${end.code.replaceAll("_", " ")}.`;
  return { code: end.code, title: "Morgan ended the call", text, action: "Call again" };
}
