/** Puts the parts together: a press of the button becomes a call, its events become words on the page. */

import { Call } from "./call.js";
import { accessKey, keepAccessKey, openMicrophone, userId } from "./caller.js";
import { Conversation } from "./events.js";
import { endNotice, microphoneNotice, noticeAtStart, signalingNotice } from "./messages.js";
import { joinByLink } from "./join.js";
import { Meter } from "./meter.js";
import { Signaling, SignalingError } from "./signaling.js";
import { Transcript } from "./transcript.js";
import { element, View } from "./view.js";

const view = new View({ call: placeCall, hangUp, mute: toggleMute, afresh: startAfresh, key: callWithKey });
const meter = new Meter((levels) => view.setLevels(levels));
const signaling = new Signaling(accessKey);
const voice = /** @type {HTMLAudioElement} */ (element("voice"));
const transcript = new Transcript(
  /** @type {HTMLOListElement} */ (element("transcript")),
  element("scroller"),
  /** @type {HTMLButtonElement} */ (element("latest")),
);

const joining = joinByLink();
joining.catch((error) => view.notify(signalingNotice(error, false)));

/** @type {Call|null} */
let call = null;
/** @type {MediaStream|null} */
let microphone = null;
/** Leaves the preparations of a call that was hung up before it was placed. */
let preparing = new AbortController();
/** The next call goes on with this conversation. @type {string|null} */
let conversationId = null;
/** @type {WakeLockSentinel|null} */
let wakeLock = null;
let muted = false;

async function placeCall() {
  if (view.state !== "idle" && view.state !== "ended") return;
  preparing = new AbortController();
  const { signal } = preparing;
  setMuted(false);
  view.notify(null);
  view.setState("connecting");
  meter.start();
  try {
    await joining;
    const iceServers = await signaling.iceServers(signal);
    const stream = await openMicrophone();
    if (signal.aborted) return stream.getTracks().forEach((track) => track.stop());
    useMicrophone(stream);
    const caller = { userId: userId(), conversationId, language: new URLSearchParams(location.search).get("language") };
    call = openCall(iceServers, stream, caller);
    keepScreenOn();
    await call.start();
    conversationId = call?.conversationId || conversationId;
  } catch (error) {
    if (signal.aborted) return;
    finish();
    if (error instanceof SignalingError) view.notify(signalingNotice(error, accessKey() !== null));
    else view.notify(microphoneNotice(error));
  }
}

/**
 * @param {RTCIceServer[]} iceServers
 * @param {MediaStream} stream
 * @param {import("./signaling.js").Caller} caller
 */
function openCall(iceServers, stream, caller) {
  const conversation = new Conversation({
    onLine: (line) => (transcript.show(line), view.setConversationEmpty(false)),
    onLineGone: (id) => transcript.remove(id),
    onTurn: (turn) => view.state !== "reconnecting" && view.state !== "connecting" && view.setState(turn),
    onProblem: (message) => view.notify({ code: "problem", title: "Morgan had a problem", text: message }),
  });
  return new Call(signaling, iceServers, stream, caller, {
    onEvent: (event) => {
      if (event.type === "response.created" && element("notice").dataset.code === "problem") view.notify(null);
      conversation.apply(event);
    },
    onVoice: play,
    onState: (state) => view.setState(state === "connected" ? conversation.turn : state),
    onEnd: (end) => {
      conversation.finish();
      finish();
      if (end.code === "refused" && end.error instanceof SignalingError && end.error.status === 404) conversationId = null;
      view.notify(endNotice(end, accessKey() !== null));
    },
  });
}

/** @param {MediaStream} stream */
function play(stream) {
  voice.srcObject = stream;
  meter.listenTo("voice", stream);
  voice.play().catch((error) => {
    if (error.name === "AbortError") return; // the next stream took its place
    view.notify({ code: "no_sound", title: "The browser plays no sound", text: "Click anywhere on the page to hear Morgan." });
    document.addEventListener("click", () => voice.play().then(() => view.notify(null), console.warn), { once: true });
  });
}

/** @param {MediaStream} stream */
function useMicrophone(stream) {
  microphone = stream;
  setMuted(muted);
  meter.listenTo("mic", stream);
  stream.getAudioTracks()[0].addEventListener("ended", microphoneGone);
}

/** Unplugged, or taken away by the system: go on with the one that is now the default. */
async function microphoneGone() {
  const running = call;
  if (!running) return;
  try {
    const stream = await openMicrophone();
    if (call !== running) return stream.getTracks().forEach((track) => track.stop());
    useMicrophone(stream);
    await running.replaceMicrophone(stream);
  } catch (error) {
    const { title, text } = microphoneNotice(error);
    if (call === running) view.notify({ code: "microphone_gone", title, text });
  }
}

function hangUp() {
  preparing.abort();
  if (call) call.hangUp();
  else finish();
}

/** Give everything back that a call holds. */
function finish() {
  call = null;
  microphone?.getTracks().forEach((track) => track.stop());
  microphone = null;
  voice.srcObject = null;
  meter.stop();
  wakeLock?.release().catch(console.warn);
  wakeLock = null;
  const time = new Date().toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });
  transcript.divide(`Call ended, ${time}`);
  view.setState(view.connected ? "ended" : "idle");
}

function toggleMute() {
  setMuted(!muted);
}

/** @param {boolean} mute */
function setMuted(mute) {
  muted = mute;
  microphone?.getAudioTracks().forEach((track) => (track.enabled = !mute));
  view.setMuted(mute);
}

function startAfresh() {
  conversationId = null;
  transcript.clear();
  view.reset();
  element("call").focus();
}

/** @param {string} key */
function callWithKey(key) {
  keepAccessKey(key);
  placeCall();
}

/** A phone that goes dark in the middle of a call takes the microphone with it. */
async function keepScreenOn() {
  try {
    wakeLock = (await navigator.wakeLock?.request("screen")) ?? null;
    if (!call) await wakeLock?.release();
  } catch (error) {
    console.info("the screen may go dark:", error instanceof Error ? error.message : error);
  }
}

window.addEventListener("online", () => call?.networkChanged());
window.addEventListener("pagehide", hangUp);
document.addEventListener("visibilitychange", () => {
  if (call && document.visibilityState === "visible") keepScreenOn(); // the lock goes with the page's visibility
});
view.notify(noticeAtStart());
