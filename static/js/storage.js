/**
 * What the browser keeps between calls: who calls, with which key, and how they like it.
 *
 * @typedef {{microphone: string, speaker: string, volume: number, pushToTalk: boolean, announce: boolean, language: string,
 *   voice: string, instructions: string}} Settings
 */

const USER_ID = "morgan.user_id";
const KEY = "morgan.key";
const JOINED_AS = "morgan.joined_as";
const SETTINGS = "morgan.settings";
const CONVERSATION = "morgan.conversation";

/** @type {Settings} */
const USUAL = { microphone: "", speaker: "", volume: 1, pushToTalk: false, announce: false, language: "", voice: "", instructions: "" };

/** Stands in where the browser refuses storage (private windows, blocked cookies). @type {Map<string, string>} */
const memory = new Map();

/** @returns {string} who a join link said that this is, else a random id, the same for as long as the browser keeps its storage */
export function userId() {
  const joinedAs = read(() => sessionStorage, JOINED_AS);
  if (joinedAs) return joinedAs;
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

/** @param {string} key empty forgets it @param {string} [joinedAs] the user that it stands for */
export function keepAccessKey(key, joinedAs = "") {
  write(() => sessionStorage, KEY, key);
  write(() => sessionStorage, JOINED_AS, joinedAs);
}

/** @returns {Settings} */
export function settings() {
  try {
    const kept = JSON.parse(read(() => localStorage, SETTINGS) ?? "{}");
    const known = Object.entries(USUAL).map(([name, usual]) => [name, typeof kept?.[name] === typeof usual ? kept[name] : usual]);
    return Object.fromEntries(known);
  } catch {
    return { ...USUAL };
  }
}

/** @param {Partial<Settings>} change */
export function keepSettings(change) {
  write(() => localStorage, SETTINGS, JSON.stringify({ ...settings(), ...change }));
}

/** @returns {string|null} the conversation that was last spoken in */
export function lastConversation() {
  return read(() => localStorage, CONVERSATION);
}

/** @param {string} id empty forgets it */
export function keepLastConversation(id) {
  write(() => localStorage, CONVERSATION, id);
}

/** @param {() => Storage} storage a function, since merely naming the storage may throw @param {string} name */
function read(storage, name) {
  try {
    return storage().getItem(name) || null;
  } catch {
    return memory.get(name) || null;
  }
}

/** @param {() => Storage} storage @param {string} name @param {string} value empty removes it */
function write(storage, name, value) {
  memory.set(name, value);
  try {
    if (value) storage().setItem(name, value);
    else storage().removeItem(name);
  } catch (error) {
    console.info("storage refused, kept for this page only:", error instanceof Error ? error.name : error);
  }
}
