/**
 * Puts the parts together: a press of the button becomes a call, its events become words on the page.
 *
 * @import {Call, CallEnd, CallState} from "../morgan.js"
 */

import { connect, Conversations, JOIN, Signaling } from "../morgan.js";
import { endNotice, joinNotice, microphoneChanged, noticeAtStart, troubleNotice } from "./messages.js";
import { PushToTalk } from "./push_to_talk.js";
import { Sheet } from "./sheet.js";
import { accessKey, keepAccessKey, keepLastConversation, lastConversation, settings, userId } from "./storage.js";
import { Surroundings } from "./surroundings.js";
import { Transcript } from "./transcript.js";
import { element, input, View } from "./view.js";

const NEWS_MS = 6000;

const view = new View({ call: () => placeCall(), write: () => placeCall(null), hangUp, mute: toggleMute, stop: () => call?.interrupt(), afresh: startAfresh, resume: goOn, key: callWithKey, notice: actOnNotice });
const transcript = new Transcript(
  /** @type {HTMLOListElement} */ (element("transcript")),
  element("scroller"),
  /** @type {HTMLButtonElement} */ (element("latest")),
);
/** Requests wait for a join link to have been exchanged. */
const token = async () => (await joining, accessKey());
const signaling = new Signaling(undefined, token);
const conversations = new Conversations(signaling, userId);
const settingsSheet = new Sheet("settings", async (sheet) => new (await import("./settings_panel.js")).SettingsPanel(sheet, signaling, applySetting), notLoaded);
new Sheet("history", async (sheet) => new (await import("./history_panel.js")).HistoryPanel(sheet, conversations, { goOn: goOnWith, deleted }), notLoaded);
const connectionSheet = new Sheet("connection", async (sheet) => new (await import("./connection_panel.js")).ConnectionPanel(sheet, () => call), notLoaded);
const pushToTalk = new PushToTalk(element("hold"), (held) => {
  call?.mute(!held);
  view.setMuted(!held);
  view.setPushToTalk(true, held);
});
const surroundings = new Surroundings({ toggleMute, hangUp, call: () => call });

const joining = takeJoinToken();
/** @type {Call|null} */
let call = null;
/** The next call goes on with this conversation. @type {string|null} */
let conversationId = null;

/** @param {string|null} [microphone] null: without one */
function placeCall(microphone = settings().microphone) {
  if (view.live) return;
  view.clearNotices();
  view.setMicrophone(microphone === null ? "none" : "asked");
  view.setState("connecting");
  const { speaker, volume, language, voice, instructions } = settings();
  const wished = new URLSearchParams(location.search).get("language") ?? language;
  const begun = connect({
    token, userId, conversationId: conversationId ?? undefined,
    language: wished, voice, instructions, microphone, speaker, volume,
    audio: /** @type {HTMLAudioElement} */ (element("voice")),
  });
  call = begun;
  view.levels = () => begun.levels();
  setUp();
  on(begun, "state", ({ state }) => showState(begun, state));
  on(begun, "line", (line) => (transcript.show(line), view.setConversationEmpty(false)));
  on(begun, "lineremoved", ({ id }) => transcript.remove(id));
  on(begun, "event", (event) => event.type === "response.created" && view.settle("problem"));
  on(begun, "problem", ({ message }) => view.notify({ code: "problem", title: "Morgan had a problem", text: message }));
  on(begun, "trouble", ({ code, error }) => view.notify(troubleNotice(code, error)));
  on(begun, "troubleover", ({ code }) => view.settle(code));
  on(begun, "microphone", ({ label, changed }) => {
    if (begun.hasMicrophone) view.setMicrophone("open");
    if (changed) showNews(microphoneChanged(label));
  });
  on(begun, "rejoined", () => transcript.divide("Morgan was restarted; the conversation goes on"));
  on(begun, "ended", (end) => ended(begun, end));
}

/** @param {EventTarget} target @param {string} type @param {(detail: any) => void} listener */
function on(target, type, listener) {
  target.addEventListener(type, (event) => listener(/** @type {CustomEvent} */ (event).detail));
}

/** Mute and push to talk as they are to be at the beginning of a call. */
function setUp() {
  const { pushToTalk: on } = settings();
  pushToTalk.on = on;
  view.setPushToTalk(on, false);
  view.setMuted(on);
  call?.mute(on);
}

/** @param {Call} from @param {CallState} state */
function showState(from, state) {
  if (state === "ended") return;
  view.deadline = from.reconnectDeadline;
  view.setState(state);
  surroundings.callRuns(view.connected);
  if (from.conversationId) {
    conversationId = from.conversationId;
    keepLastConversation(conversationId);
  }
}

/** @param {Call} over @param {CallEnd} end */
function ended(over, end) {
  if (call !== over) return;
  call = null;
  pushToTalk.on = false;
  surroundings.callIsOver();
  connectionSheet.close();
  const time = new Date().toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });
  transcript.divide(`Call ended, ${time}`);
  view.clearNotices();
  view.setState(view.connected ? "ended" : "idle");
  const { error } = /** @type {any} */ (end);
  if (end.code === "refused" && error.status === 404) forgetConversation();
  const notice = endNotice(end, accessKey() !== null);
  if (notice) view.notify(notice);
  offerLast();
}

/** @param {import("./messages.js").Notice} notice that goes away by itself */
function showNews(notice) {
  view.notify(notice);
  setTimeout(() => view.settle(notice.code), NEWS_MS);
}

function hangUp() {
  call?.close();
}

function toggleMute() {
  if (!call?.hasMicrophone || settings().pushToTalk) return;
  call.mute(!call.muted);
  view.setMuted(call.muted);
  surroundings.muted(call.muted);
}

/** The button of a notice. @param {string} code */
function actOnNotice(code) {
  if (!call) placeCall();
  else if (code === "microphone_taken") call.useMicrophone(settings().microphone); // some systems never say that it is given back
  else if (code.startsWith("microphone")) settingsSheet.open("devices").catch(notLoaded);
  else call.unblock();
}

/** @param {keyof import("./storage.js").Settings} name */
function applySetting(name) {
  const wanted = settings();
  if (name === "announce") announceCaptions();
  if (!call) return;
  if (name === "microphone") call.useMicrophone(wanted.microphone);
  if (name === "speaker") call.useSpeaker(wanted.speaker);
  if (name === "volume") call.volume = wanted.volume;
  if (name === "pushToTalk") setUp();
}

function startAfresh() {
  conversationId = null;
  transcript.clear();
  view.reset();
  offerLast();
  element("call").focus();
}

function goOn() {
  const last = lastConversation();
  if (last) goOnWith(last);
}

/** The next call goes on with an earlier conversation, whose words are shown. @param {string} id */
async function goOnWith(id) {
  if (view.live) return;
  try {
    const messages = await conversations.messages(id);
    startAfresh();
    conversationId = id;
    transcript.showPast(messages);
    view.setConversationEmpty(messages.length === 0);
    view.offerResume(false);
    element("hint").textContent = "Press to call, and the conversation goes on.";
  } catch (error) {
    if (/** @type {any} */ (error).status === 404) forgetConversation();
    view.notify(/** @type {any} */ (endNotice({ code: "refused", error }, accessKey() !== null)));
  }
}

/** @param {string} id */
function deleted(id) {
  if (id === lastConversation()) keepLastConversation("");
  if (id === conversationId && !view.live) startAfresh();
  offerLast();
}

function forgetConversation() {
  conversationId = null;
  keepLastConversation("");
}

function offerLast() {
  view.offerResume(conversationId === null && lastConversation() !== null);
}

/** @param {string} key */
function callWithKey(key) {
  keepAccessKey(key);
  placeCall();
}

/** The files of a panel could not be had. */
function notLoaded() {
  showNews({ code: "not_loaded", title: "That could not be loaded", text: "The server does not answer. Try again in a moment." });
}

/** A join link carries its token in the address; it stays neither there nor in the browser's history. */
async function takeJoinToken() {
  const address = new URL(location.href);
  const token = address.searchParams.get("token");
  if (!token) return;
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
  if (!token.startsWith(JOIN)) return keepAccessKey(token);
  try {
    const session = await signaling.exchange(token);
    keepAccessKey(session.token, session.user_id);
  } catch (error) {
    view.notify(joinNotice(/** @type {any} */ (error)));
  }
}

element("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = input("typed");
  const text = field.value.trim();
  if (!text || !call) return;
  call.say(text);
  field.value = "";
});

function announceCaptions() {
  element("log").setAttribute("aria-live", settings().announce ? "polite" : "off");
}

document.addEventListener("click", () => call?.unblock());
window.addEventListener("pagehide", hangUp);
announceCaptions();
offerLast();
const notice = noticeAtStart();
if (notice) view.notify(notice);
