/** Microphones and loudspeakers: which there are, one opened, one played on, and what can befall either in a call. */

/**
 * @import {Device, TroubleCode} from "../morgan.js"
 * @typedef {object} MicrophoneListener
 * @property {(stream: MediaStream, changed: boolean) => void} onStream sound comes from here from now on; `changed`: by itself
 * @property {(code: TroubleCode, error?: unknown) => void} onTrouble
 * @property {(code: TroubleCode) => void} onTroubleOver
 */

const SOUND = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/**
 * @returns {Promise<{microphones: Device[], speakers: Device[]}>} names are empty until a microphone was granted;
 *   speakers are empty where the browser lets no page choose
 */
export async function listDevices() {
  const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const named = (/** @type {string} */ kind) =>
    all.filter((d) => d.kind === kind && d.deviceId && d.deviceId !== "default" && d.deviceId !== "communications").map((d) => ({ id: d.deviceId, label: d.label }));
  const chosen = "setSinkId" in HTMLMediaElement.prototype;
  return { microphones: named("audioinput"), speakers: chosen ? named("audiooutput") : [] };
}

/**
 * @param {string} [deviceId] the default one where it is empty or gone
 * @returns {Promise<MediaStream>} rejects with the browser's DOMException, whose name says why
 */
export async function openMicrophone(deviceId = "") {
  if (!window.isSecureContext) throw new DOMException("not a secure context", "InsecureContextError");
  if (!navigator.mediaDevices?.getUserMedia || !window.RTCPeerConnection) {
    throw new DOMException("no WebRTC", "NotSupportedError");
  }
  if (deviceId) {
    try {
      return await navigator.mediaDevices.getUserMedia({ audio: { ...SOUND, deviceId: { exact: deviceId } } });
    } catch (error) {
      if (!["OverconstrainedError", "NotFoundError"].includes(/** @type {Error} */ (error).name)) throw error;
    }
  }
  return navigator.mediaDevices.getUserMedia({ audio: SOUND });
}

/** The microphone of one call: comes back when it was taken away, and follows the system's default. */
export class Microphone {
  #wanted;
  #listener;
  /** @type {MediaStream|null} */
  #stream = null;
  #muted = false;
  #closed = false;
  /** What the default device was called. */
  #standard = "";
  /** Tries to open one are made one after the other. @type {Promise<void>} */
  #opening = Promise.resolve();
  #ours;

  /**
   * @param {string|MediaStream} wanted a device, "" for the default one, or a stream that is used as it is
   * @param {MicrophoneListener} listener
   */
  constructor(wanted, listener) {
    this.#wanted = typeof wanted === "string" ? wanted : "";
    this.#ours = typeof wanted === "string";
    this.#listener = listener;
    if (typeof wanted !== "string") this.#stream = wanted;
  }

  /** @returns {Promise<MediaStream>} rejects with the browser's DOMException */
  async open() {
    const stream = this.#ours ? await openMicrophone(this.#wanted) : /** @type {MediaStream} */ (this.#stream);
    this.#use(stream, false);
    navigator.mediaDevices?.addEventListener?.("devicechange", this.#devicesChanged);
    this.#standard = await standardMicrophone();
    return stream;
  }

  /** @param {string} deviceId "" for the default one */
  async change(deviceId) {
    this.#wanted = deviceId;
    this.#ours = true;
    await this.#reopen(false);
  }

  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    this.#stream?.getAudioTracks().forEach((track) => (track.enabled = !muted));
  }

  /** Whether sound can be expected: not muted by us nor by the system. */
  get hears() {
    const track = this.#stream?.getAudioTracks()[0];
    return !this.#muted && track?.readyState === "live" && !track.muted;
  }

  /** What it is called. */
  get label() {
    return this.#stream?.getAudioTracks()[0]?.label ?? "";
  }

  /** Look again whether one can be had, if it was lost. */
  check() {
    const track = this.#stream?.getAudioTracks()[0];
    if (!this.#closed && track && track.readyState === "ended") this.#reopen(true);
  }

  close() {
    this.#closed = true;
    navigator.mediaDevices?.removeEventListener?.("devicechange", this.#devicesChanged);
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
  }

  /** @param {MediaStream} stream @param {boolean} changed by itself, not by the caller's wish */
  #use(stream, changed) {
    if (this.#closed) return stream.getTracks().forEach((track) => track.stop());
    const before = this.#stream;
    this.#stream = stream;
    const track = stream.getAudioTracks()[0];
    track.enabled = !this.#muted;
    track.onmute = () => this.#stream === stream && this.#listener.onTrouble("microphone_taken");
    track.onunmute = () => this.#stream === stream && this.#listener.onTroubleOver("microphone_taken");
    track.onended = () => this.#stream === stream && this.#reopen(true);
    if (before && before !== stream) before.getTracks().forEach((old) => old.stop());
    this.#listener.onStream(stream, changed);
    if (track.muted) this.#listener.onTrouble("microphone_taken");
  }

  /** @param {boolean} changed */
  #reopen(changed) {
    this.#opening = this.#opening.then(async () => {
      if (this.#closed) return;
      try {
        const stream = await openMicrophone(this.#wanted);
        this.#listener.onTroubleOver("microphone_gone");
        this.#listener.onTroubleOver("microphone_taken");
        this.#use(stream, changed); // which may tell that this one is taken too
        this.#standard = await standardMicrophone();
      } catch (error) {
        if (!this.#closed) this.#listener.onTrouble("microphone_gone", error);
      }
    });
    return this.#opening;
  }

  /** Something was plugged in or out: take up a lost microphone again, follow a new default. */
  #devicesChanged = async () => {
    const track = this.#stream?.getAudioTracks()[0];
    if (this.#closed || !this.#ours || !track) return;
    const standard = await standardMicrophone();
    const moved = !this.#wanted && standard !== this.#standard;
    const back = this.#wanted && track.getSettings().deviceId !== this.#wanted && (await listDevices()).microphones.some((d) => d.id === this.#wanted);
    this.#standard = standard;
    if (track.readyState === "ended" || moved || back) await this.#reopen(true);
  };
}

/** @returns {Promise<string>} name and group of what the system takes for the default microphone */
async function standardMicrophone() {
  const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  const inputs = all.filter((device) => device.kind === "audioinput");
  const standard = inputs.find((device) => device.deviceId === "default") ?? inputs[0];
  return standard ? `${standard.groupId} ${standard.label}` : "";
}

/** Plays Morgan's voice on an audio element, and says when the browser does not let it. */
export class Speaker {
  #audio;
  #listener;
  #playing = false;

  /**
   * @param {HTMLAudioElement} audio
   * @param {{onTrouble: (code: TroubleCode) => void, onTroubleOver: (code: TroubleCode) => void}} listener
   */
  constructor(audio, listener) {
    this.#audio = audio;
    this.#listener = listener;
    audio.onplaying = () => listener.onTroubleOver("audio_blocked");
    audio.onpause = () => this.#playing && this.resume(); // a phone call or another app stopped it
  }

  /** @param {MediaStream} stream */
  play(stream) {
    this.#playing = true;
    this.#audio.srcObject = stream;
    return this.resume();
  }

  /** Play (on); inside a click it is allowed for certain. */
  async resume() {
    if (!this.#playing) return;
    try {
      await this.#audio.play();
    } catch (error) {
      if (/** @type {Error} */ (error).name === "AbortError") return; // the next stream took its place
      if (this.#playing) this.#listener.onTrouble("audio_blocked");
    }
  }

  get volume() {
    return this.#audio.volume;
  }

  set volume(volume) {
    this.#audio.volume = Math.min(1, Math.max(0, volume));
  }

  /** @param {string} deviceId "" for the default one; the default too where that one is gone */
  async change(deviceId) {
    if (!("setSinkId" in this.#audio)) return;
    try {
      await this.#audio.setSinkId(deviceId);
    } catch {
      await this.#audio.setSinkId("").catch(() => {});
    }
  }

  close() {
    this.#playing = false;
    this.#audio.onplaying = this.#audio.onpause = null;
    this.#audio.srcObject = null;
  }
}
