/** The settings: devices with a test of each, push to talk, and how Morgan is to speak. All is kept as it is changed. */

import { Levels, listDevices, openMicrophone } from "../morgan.js";
import { accessKey, keepAccessKey, keepSettings, settings } from "./storage.js";
import { element, input, make } from "./view.js";

/** Any other one by the address, `?language=`. */
const LANGUAGES = "ar bg ca cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv ms nl no pl pt ro ru sk sl sr sv th tr uk ur vi zh".split(" ");
/** Louder than this is somebody speaking. */
const HEARD = 0.35;

/** @typedef {import("./storage.js").Settings} Settings */

export class SettingsPanel {
  #sheet;
  #signaling;
  #changed;
  /** A running test of the microphone. @type {{levels: Levels, stream: MediaStream, frame: number}|null} */
  #test = null;
  #testing = false;

  /**
   * @param {import("./sheet.js").Sheet} sheet @param {import("../morgan.js").Signaling} signaling
   * @param {(name: keyof Settings) => void} changed
   */
  constructor(sheet, signaling, changed) {
    this.#sheet = sheet;
    this.#signaling = signaling;
    this.#changed = changed;
    for (const [id, name] of /** @type {[string, keyof Settings][]} */ ([
      ["microphone", "microphone"], ["speaker", "speaker"], ["volume", "volume"], ["push-to-talk", "pushToTalk"],
      ["announce", "announce"], ["language", "language"], ["morgan-voice", "voice"], ["instructions", "instructions"],
    ])) {
      element(id).addEventListener(id === "volume" ? "input" : "change", () => this.#take(id, name));
    }
    element("test-microphone").addEventListener("click", () => this.#toggleTest());
    element("test-speaker").addEventListener("click", () => this.#playSound());
    element("forget-key").addEventListener("click", () => {
      keepAccessKey("");
      element("forget-key").hidden = true;
    });
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#sheet.dialog.open && this.#showDevices());
    const names = new Intl.DisplayNames(["en"], { type: "language" });
    const offered = LANGUAGES.map((code) => ({ code, name: names.of(code) ?? code })).sort((a, b) => a.name.localeCompare(b.name));
    element("language").append(...offered.map(({ code, name }) => make("option", { value: code }, name)));
  }

  /** @param {string} [about] "devices" looks at the microphones */
  opened(about) {
    this.#show();
    if (about === "devices") element("microphone").focus();
  }

  closed() {
    this.#endTest();
  }

  /** @param {string} id @param {keyof Settings} name */
  #take(id, name) {
    const field = input(id);
    /** @type {any} */
    let value = field.value;
    if (field.type === "checkbox") value = field.checked;
    if (field.type === "range") value = Number(field.value) / 100;
    keepSettings({ [name]: value });
    this.#changed(name);
    if (name === "microphone" && this.#test) this.#endTest(), this.#toggleTest();
  }

  #fill() {
    const kept = settings();
    input("volume").value = String(Math.round(kept.volume * 100));
    input("push-to-talk").checked = kept.pushToTalk;
    input("announce").checked = kept.announce;
    input("language").value = kept.language;
    input("instructions").value = kept.instructions;
  }

  async #show() {
    this.#fill();
    const live = element("app").dataset.live === "true";
    element("later").hidden = !live;
    element("test-microphone").hidden = live; // the call shows its level itself
    element("test-level").hidden = live;
    element("forget-key").hidden = accessKey() === null;
    await Promise.all([this.#showDevices(), this.#showVoices()]);
  }

  async #showDevices() {
    const { microphones, speakers } = await listDevices();
    const kept = settings();
    choose("microphone", microphones.map(({ id, label }, n) => ({ id, name: label || `Microphone ${n + 1}` })), kept.microphone);
    choose("speaker", speakers.map(({ id, label }, n) => ({ id, name: label || `Loudspeaker ${n + 1}` })), kept.speaker);
    element("speaker-field").hidden = speakers.length === 0;
  }

  async #showVoices() {
    try {
      const { voices } = await this.#signaling.request("GET", "v1/audio/voices");
      choose("morgan-voice", voices.map((/** @type {any} */ voice) => ({ id: voice.id, name: voice.language ? `${voice.name} (${voice.language})` : voice.name })), settings().voice);
    } catch (error) {
      console.info("no list of voices:", error instanceof Error ? error.message : error);
    }
  }

  async #toggleTest() {
    if (this.#test || this.#testing) return this.#endTest();
    this.#testing = true;
    const levels = new Levels();
    element("test-words").textContent = "Say something.";
    element("test-microphone").setAttribute("aria-pressed", "true");
    element("test-microphone").textContent = "Stop";
    try {
      const stream = await openMicrophone(settings().microphone);
      if (!this.#testing) return stream.getTracks().forEach((track) => track.stop()), levels.close();
      levels.listenTo("mic", stream);
      this.#test = { levels, stream, frame: 0 };
      this.#testTick();
      await this.#showDevices(); // their names are known from now on
    } catch (error) {
      levels.close();
      this.#endTest();
      const { microphoneNotice } = await import("./messages.js");
      const { title, text } = microphoneNotice(error);
      element("test-words").textContent = `${title}. ${text}`;
    }
  }

  #testTick() {
    if (!this.#test) return;
    const { mic } = this.#test.levels.read();
    this.#showLevel(mic);
    if (mic > HEARD) element("test-words").textContent = "The microphone works.";
    this.#test.frame = requestAnimationFrame(() => this.#testTick());
  }

  #endTest() {
    this.#testing = false;
    element("test-microphone").setAttribute("aria-pressed", "false");
    element("test-microphone").textContent = "Test";
    element("test-words").textContent = "";
    this.#showLevel(0);
    if (!this.#test) return;
    cancelAnimationFrame(this.#test.frame);
    this.#test.stream.getTracks().forEach((track) => track.stop());
    this.#test.levels.close();
    this.#test = null;
  }

  /** @param {number} level */
  #showLevel(level) {
    element("test-level").style.setProperty("--level", level.toFixed(3));
    element("test-level").setAttribute("aria-valuenow", String(Math.round(level * 100)));
  }

  /** A tone, as loud as Morgan will be, where Morgan will be heard. */
  async #playSound() {
    const { speaker, volume } = settings();
    const context = new AudioContext();
    const to = context.createMediaStreamDestination();
    const gain = new GainNode(context, { gain: 0 });
    const source = new OscillatorNode(context, { frequency: 523 });
    source.connect(gain).connect(to);
    gain.gain.setTargetAtTime(0.3, context.currentTime + 0.1, 0.02);
    gain.gain.setTargetAtTime(0, context.currentTime + 0.6, 0.1);
    source.start();
    const audio = Object.assign(new Audio(), { srcObject: to.stream, volume });
    if (speaker && "setSinkId" in audio) await audio.setSinkId(speaker).catch(() => {});
    await audio.play().catch((error) => console.info("no test sound:", error.message));
    setTimeout(() => context.close(), 1500);
  }
}

/** Fill a list of choices behind its default. @param {string} id @param {{id: string, name: string}[]} offered @param {string} chosen */
function choose(id, offered, chosen) {
  const list = /** @type {HTMLSelectElement} */ (element(id));
  const [standard] = list.options;
  list.replaceChildren(standard, ...offered.map((each) => make("option", { value: each.id }, each.name)));
  list.value = offered.some((each) => each.id === chosen) ? chosen : "";
}
