/** Who is calling, from where, with which key: what the browser keeps between calls, and the microphone. */

const USER_ID = "morgan.user_id";
const KEY = "morgan.key";

/** Stands in where the browser refuses storage (private windows, blocked cookies). @type {Map<string, string>} */
const memory = new Map();

/** @returns {string} whom a join link names, in its tab; else a random id, kept for as long as the browser's storage */
export function userId() {
  const joined = read(() => sessionStorage, USER_ID);
  if (joined) return joined;
  let id = read(() => localStorage, USER_ID);
  if (!id) {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    id = `web-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    write(() => localStorage, USER_ID, id);
  }
  return id;
}

/** @returns {string|null} the access key of this tab */
export function accessKey() {
  return read(() => sessionStorage, KEY);
}

/** @param {string} key empty forgets it */
export function keepAccessKey(key) {
  write(() => sessionStorage, KEY, key);
}

/** @param {string} id of whom this tab was opened for */
export function keepUserId(id) {
  write(() => sessionStorage, USER_ID, id);
}

/** @returns {Promise<MediaStream>} rejects with the browser's DOMException, whose name says why */
export async function openMicrophone() {
  if (!window.isSecureContext) throw new DOMException("not a secure context", "InsecureContextError");
  if (!navigator.mediaDevices?.getUserMedia || !window.RTCPeerConnection) {
    throw new DOMException("no WebRTC", "NotSupportedError");
  }
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  return navigator.mediaDevices.getUserMedia({ audio });
}

/**
 * @param {() => Storage} storage a function, since merely naming the storage may throw
 * @param {string} name
 */
function read(storage, name) {
  try {
    return storage().getItem(name) || null;
  } catch {
    return memory.get(name) ?? null;
  }
}

/**
 * @param {() => Storage} storage
 * @param {string} name
 * @param {string} value
 */
function write(storage, name, value) {
  memory.set(name, value);
  try {
    storage().setItem(name, value);
  } catch (error) {
    console.info("storage refused, kept for this page only:", error instanceof Error ? error.name : error);
  }
}
