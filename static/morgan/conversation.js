/**
 * The state of the conversation as the events of the data channel tell it (OpenAI Realtime names, and `morgan.*`).
 * Knows no DOM. Events that it does not know are ignored.
 *
 * @typedef {"listening"|"user_speaking"|"thinking"|"speaking"} Turn
 * @typedef {import("../morgan.js").Line["status"]} LineStatus
 * @typedef {NonNullable<import("../morgan.js").Line["latency"]>} Latency
 * @typedef {import("../morgan.js").Line & {committed: boolean, responseId: string|null}} Line
 * @typedef {object} ConversationListener
 * @property {(line: Line) => void} onLine a line is new or has changed
 * @property {(id: string) => void} onLineGone
 * @property {(turn: Turn) => void} onTurn
 * @property {(message: string) => void} onProblem the server could not do something; the call goes on
 */

const TURNS = new Set(["listening", "user_speaking", "thinking", "speaking"]);

export class Conversation {
  /** @type {Turn} */
  turn = "listening";
  /** @type {Map<string, Line>} */
  #lines = new Map();
  /** Latencies that came before their line. @type {Map<string, Latency>} */
  #latencies = new Map();
  /** Responses that are being heard. @type {Set<string>} */
  #playing = new Set();
  /** `morgan.state` is exact; what the other events suggest counts only while it is not sent. */
  #told = false;
  #listener;

  /** @param {ConversationListener} listener */
  constructor(listener) {
    this.#listener = listener;
  }

  /** @param {any} event */
  apply(event) {
    if (Object.hasOwn(HANDLERS, event.type)) HANDLERS[event.type](this, event);
  }

  /** The call is over: what was not said to the end stays as far as it got. */
  finish() {
    this.dropUncommitted("");
    for (const line of this.#lines.values()) {
      if (line.status === "interim") this.settle(line, line.role === "assistant" ? "interrupted" : "final");
    }
    for (const kept of [this.#lines, this.#latencies, this.#playing]) kept.clear();
  }

  /** @param {Turn} turn @param {boolean} told */
  setTurn(turn, told = false) {
    if (this.#told && !told) return;
    this.#told = told;
    this.turn = turn;
    this.#listener.onTurn(turn);
  }

  /** @param {string} id @param {"user"|"assistant"} role @param {string|null} responseId @returns {Line} */
  line(id, role, responseId = null) {
    let line = this.#lines.get(id);
    if (!line) {
      line = { id, role, text: "", unheard: "", status: "interim", committed: false, responseId, latency: this.#latencies.get(id) ?? null };
      this.#lines.set(id, line);
    }
    line.responseId ??= responseId;
    return line;
  }

  /** @param {string} id */
  find(id) {
    return this.#lines.get(id);
  }

  /** @param {Line} line @param {Partial<Line>} change */
  change(line, change) {
    Object.assign(line, change);
    this.#listener.onLine(line);
  }

  /** @param {Line} line @param {LineStatus} status a line without words goes away */
  settle(line, status) {
    if (line.text.trim()) this.change(line, { status });
    else this.remove(line.id);
  }

  /** @param {string} id */
  remove(id) {
    if (this.#lines.delete(id)) this.#listener.onLineGone(id);
  }

  /** What the caller began to say and the conversation never took up. @param {string} exceptId */
  dropUncommitted(exceptId) {
    for (const line of [...this.#lines.values()]) {
      if (line.role === "user" && !line.committed && line.status === "interim" && line.id !== exceptId) this.remove(line.id);
    }
  }

  /** @param {string} id of the reply, or of the turn that it answers @param {Latency} latency */
  setLatency(id, latency) {
    const lines = [...this.#lines.values()];
    const since = lines.slice(lines.findIndex((line) => line.id === id));
    const line = this.#lines.has(id) && since.find((line) => line.role === "assistant");
    if (line) this.change(line, { latency });
    else this.#latencies.set(id, latency);
  }

  /** @param {string} responseId @param {LineStatus} status */
  settleResponse(responseId, status) {
    for (const line of [...this.#lines.values()]) {
      if (line.responseId === responseId && line.status === "interim") this.settle(line, status);
    }
  }

  /** @param {string} responseId @param {boolean} playing */
  setPlaying(responseId, playing) {
    if (playing) this.#playing.add(responseId);
    else this.#playing.delete(responseId);
  }

  /** @param {string} id */
  isPlaying(id) {
    return this.#playing.has(id);
  }

  /** @param {unknown} message */
  problem(message) {
    this.#listener.onProblem(String(message || "Something went wrong on the server."));
  }
}

/** @param {any} item @returns {string} */
function transcriptOf(item) {
  return (item.content ?? []).map((/** @type {any} */ part) => part.transcript ?? part.text ?? "").join("");
}

/** What was heard is what was said; the rest is kept apart. @param {Line} line @param {string} heard */
function cut(line, heard) {
  const whole = line.text + line.unheard;
  line.unheard = whole.startsWith(heard) ? whole.slice(heard.length) : "";
  line.text = heard;
}

/** @param {Conversation} conversation @param {any} event `conversation.item.added` and `.done` */
function takeItem(conversation, { item }) {
  if (item?.type !== "message" || (item.role !== "user" && item.role !== "assistant")) return;
  const line = conversation.line(item.id, item.role);
  const text = line.text || transcriptOf(item);
  const spoken = item.role === "user" && line.status === "interim" && transcriptOf(item) !== "";
  conversation.change(line, { committed: true, text, status: spoken ? "final" : line.status });
}

/** @type {Record<string, (c: Conversation, e: any) => void>} */
const HANDLERS = {
  "input_audio_buffer.speech_started": (c, e) => (c.dropUncommitted(e.item_id), c.setTurn("user_speaking")),
  "input_audio_buffer.speech_stopped": (c) => c.setTurn("thinking"),
  "conversation.item.added": takeItem,
  "conversation.item.done": takeItem,
  "response.output_item.added": (c, e) => e.item?.type === "message" && c.line(e.item.id, "assistant", e.response_id),
  "conversation.item.deleted": (c, e) => c.remove(e.item_id),
  "conversation.item.input_audio_transcription.delta": (c, e) => {
    const line = c.line(e.item_id, "user");
    if (line.status === "interim") c.change(line, { text: line.text + e.delta });
  },
  "conversation.item.input_audio_transcription.completed": (c, e) => {
    const line = c.line(e.item_id, "user");
    line.text = e.transcript;
    c.settle(line, "final");
  },
  "conversation.item.input_audio_transcription.failed": (c, e) => {
    const line = c.line(e.item_id, "user");
    const words = e.transcript || line.text; // what was made out, and not believed
    c.change(line, { text: words ? `Not understood: “${words}”` : "Not understood", status: "failed" });
  },
  "conversation.item.truncated": (c, e) => {
    const line = c.find(e.item_id);
    if (!line) return;
    if (typeof e.transcript === "string") cut(line, e.transcript);
    c.settle(line, "interrupted");
  },
  "response.output_audio_transcript.delta": (c, e) => {
    const line = c.line(e.item_id, "assistant", e.response_id);
    if (line.status === "interim") c.change(line, { text: line.text + e.delta });
  },
  "response.output_audio_transcript.done": (c, e) => {
    const line = c.line(e.item_id, "assistant", e.response_id);
    if (line.status === "interim") c.change(line, { text: e.transcript ?? line.text });
  },
  "output_audio_buffer.started": (c, e) => (c.setPlaying(e.response_id, true), c.setTurn("speaking")),
  "output_audio_buffer.stopped": (c, e) => {
    c.setPlaying(e.response_id, false);
    c.settleResponse(e.response_id, "final");
    c.setTurn("listening");
  },
  "output_audio_buffer.cleared": (c, e) => {
    c.setPlaying(e.response_id, false);
    c.settleResponse(e.response_id, "interrupted");
    if (c.turn === "speaking") c.setTurn("listening");
  },
  "response.done": (c, { response }) => {
    if (response.status_details?.error?.message) c.problem(response.status_details.error.message);
    if (response.status === "cancelled") c.settleResponse(response.id, "interrupted");
    else if (!c.isPlaying(response.id)) c.settleResponse(response.id, response.status === "failed" ? "failed" : "final");
  },
  "error": (c, e) => c.problem(e.error?.message),
  "morgan.state": (c, e) => TURNS.has(e.state) && c.setTurn(e.state, true),
  "morgan.latency": (c, e) => c.setLatency(e.item_id, { voiceToVoiceMs: e.voice_to_voice_ms, stages: e.stages ?? {} }),
};
