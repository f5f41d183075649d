/** Recordings of a conversation, heard again with the line marked that is being said; a press on a line goes there. */

import { make } from "./view.js";

/**
 * @import {Recording} from "../morgan.js"
 * @import {PastLine} from "./transcript.js"
 * @typedef {{item: HTMLElement, from: number, to: number}} Cue seconds into the recording
 */

/** How long a word takes where nothing says how long it took. */
const WORD_S = 0.4;

export class Replay {
  #lines;
  #load;
  /** @type {HTMLAudioElement|null} */
  #audio = null;
  /** @type {Cue[]} */
  #cues = [];

  /** @param {PastLine[]} lines @param {(name: string) => Promise<Blob>} load a recording */
  constructor(lines, load) {
    this.#lines = lines;
    this.#load = load;
    for (const { item } of lines) item.addEventListener("click", () => this.#jump(item));
  }

  /** @param {Recording[]} recordings */
  controls(recordings) {
    const box = make("div", { class: "recordings" });
    for (const recording of recordings) {
      const at = new Date(recording.started_at).toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });
      const button = make("button", { type: "button", class: "button", "data-recording": recording.name }, `Play the call of ${at}, ${length(recording.duration_s)}`);
      button.addEventListener("click", () => this.#open(recording, button));
      box.append(button);
    }
    return box;
  }

  close() {
    if (!this.#audio) return;
    this.#audio.pause();
    URL.revokeObjectURL(this.#audio.src);
    this.#audio.remove();
    this.#audio = null;
    this.#mark(-1);
    this.#cues = [];
  }

  /** @param {Recording} recording @param {HTMLElement} button */
  async #open(recording, button) {
    button.setAttribute("aria-busy", "true");
    try {
      const file = await this.#load(recording.name);
      this.close();
      const audio = /** @type {HTMLAudioElement} */ (make("audio", { controls: "", class: "player", "aria-label": "Recording" }));
      audio.src = URL.createObjectURL(file);
      button.after(audio);
      this.#audio = audio;
      this.#cues = cues(this.#lines, recording);
      audio.addEventListener("timeupdate", () => this.#mark(audio.currentTime));
      audio.addEventListener("error", () => audio.replaceWith("This browser cannot play Ogg Opus."));
      audio.focus();
      await audio.play();
    } catch (error) {
      console.info("recording:", error instanceof Error ? error.message : error);
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  /** @param {number} seconds */
  #mark(seconds) {
    const now = this.#cues.filter(({ from, to }) => from <= seconds && seconds < to).at(-1);
    for (const { item } of this.#lines) {
      if (item === now?.item && !item.hasAttribute("aria-current")) item.scrollIntoView({ block: "nearest" });
      if (item === now?.item) item.setAttribute("aria-current", "true");
      else item.removeAttribute("aria-current");
    }
  }

  /** @param {HTMLElement} item */
  #jump(item) {
    const cue = this.#cues.find((each) => each.item === item);
    if (cue && this.#audio) this.#audio.currentTime = cue.from;
  }
}

/**
 * When each line is to be heard in a recording: a message was kept when it had been said. Where nothing says how long
 * that took, it begins no earlier than the line before it ended: a guess that reached back over a question would be
 * marked in its place.
 *
 * @param {PastLine[]} lines @param {Recording} recording
 * @returns {Cue[]}
 */
export function cues(lines, recording) {
  const begin = Date.parse(recording.started_at);
  let before = 0;
  return lines
    .map(({ message, item }) => {
      const to = (Date.parse(message.created_at) - begin) / 1000;
      const told = Number(message.metadata?.duration_ms) / 1000;
      const guess = Math.min(WORD_S * message.content.split(/\s+/).length, to - before);
      before = to;
      return { item, from: Math.max(0, to - (told > 0 ? told : guess)), to };
    })
    .filter(({ from, to }) => to > 0 && from < recording.duration_s + 2);
}

/** @param {number} seconds */
function length(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.round(seconds) % 60).padStart(2, "0")}`;
}
