/** Call Morgan from a web page. */

/** An access key or a join token, or a function that is asked for one before every request. */
export type Token = string | null | undefined | (() => string | null | undefined | Promise<string | null | undefined>);

export interface CallOptions {
  /** Address of Morgan; the one that this module came from. */
  server?: string | URL;
  token?: Token;
  /** Who calls: whose conversations go on and are remembered. */
  userId?: string | (() => string);
  /** A conversation to go on with, or "last". */
  conversationId?: string;
  /** ISO 639-1 that is spoken; the server decides without. */
  language?: string;
  voice?: string;
  instructions?: string;
  /** A device, or any stream with sound in it; the default microphone without. Null: none, Morgan is written to. */
  microphone?: string | MediaStream | null;
  /** A device; the default one. */
  speaker?: string;
  /** 0 to 1. */
  volume?: number;
  /** Begin without being heard. */
  muted?: boolean;
  /** Sound goes by way of the server's TURN server alone: nobody else learns this device's address. */
  relayOnly?: boolean;
  /** Plays Morgan's voice; one is made without. */
  audio?: HTMLAudioElement;
}

export type CallState = "connecting" | "listening" | "user_speaking" | "thinking" | "speaking" | "reconnecting" | "ended";

export type TroubleCode =
  | "microphone_taken" /** by a phone call, Siri or the system; passes by itself */
  | "microphone_gone" /** unplugged, and no other one opens; passes once one does */
  | "microphone_silent" /** nothing at all for 15 s */
  | "audio_interrupted" /** `call.unblock()` inside a click brings it back */
  | "server_restarts" /** the call goes on by itself once the server is back; then it passes */
  | "audio_blocked"; /** the browser waits for a click: `call.unblock()` inside one */

export interface CallEnd {
  /** "hang_up", "lost", "no_media", "microphone" and "refused" (with the error), or the reason that the server gave. */
  code: string;
  message?: string;
  error?: unknown;
}

export interface Line {
  id: string;
  role: "user" | "assistant";
  /** What was said; of a reply, what was heard. */
  text: string;
  /** What followed when Morgan was interrupted. */
  unheard: string;
  status: "interim" | "final" | "interrupted" | "failed";
  latency: { voiceToVoiceMs: number; stages: Record<string, number> } | null;
}

export interface CallEvents {
  state: { state: CallState };
  /** A line is new or has changed. */
  line: Line;
  lineremoved: { id: string };
  /** Every event of the data channel, as it came (OpenAI Realtime names, and `morgan.*`). */
  event: { type: string; [field: string]: unknown };
  trouble: { code: TroubleCode; error?: unknown };
  troubleover: { code: TroubleCode };
  /** The server could not do something; the call goes on. */
  problem: { message: string };
  /** You are heard through this one now; `changed`: by itself. */
  microphone: { label: string; changed: boolean };
  /** The server has lost the call; its conversation goes on in a new one. */
  rejoined: Record<string, never>;
  ended: CallEnd;
}

export interface ConnectionFigures {
  roundTripMs: number | null;
  jitterMs: number | null;
  lossPercent: number | null;
  concealedPercent: number | null;
  bufferMs: number | null;
  inKbps: number | null;
  outKbps: number | null;
  codec: string;
  local: string;
  remote: string;
}

export class Call extends EventTarget {
  private constructor();
  /** Resolves once Morgan can be spoken to; rejects with the CallEnd where that never comes. */
  readonly ready: Promise<void>;
  readonly state: CallState;
  /** When `state` is "reconnecting": until when, on the clock of `performance.now()`. */
  readonly reconnectDeadline: number;
  /** From when the microphone was granted until Morgan could hear it, in ms; 0 before. */
  readonly setUpMs: number;
  /** "" until the server has answered. */
  readonly conversationId: string;
  /** "" until the server has answered. */
  readonly callId: string;
  /** False where the call was placed without a microphone and none was chosen since. */
  readonly hasMicrophone: boolean;
  readonly muted: boolean;
  volume: number;
  /** Say something in writing; Morgan answers aloud. */
  say(text: string): void;
  /** Silence what Morgan is saying. */
  interrupt(): void;
  /** Send an event of OpenAI's Realtime API. */
  send(event: { type: string; [field: string]: unknown }): void;
  mute(muted: boolean): void;
  /** "" for the default one. */
  useMicrophone(deviceId: string): Promise<void>;
  /** "" for the default one. */
  useSpeaker(deviceId: string): Promise<void>;
  /** How loud both sides are, 0 to 1; ask once per frame. */
  levels(): { mic: number; voice: number };
  /** Null while there is no connection. */
  stats(): Promise<ConnectionFigures | null>;
  /** Inside a click: let sound run again that the browser had stopped. */
  unblock(): void;
  /** The page was out of sight: look whether all still works. */
  check(): void;
  /** The network has changed: go on over a new connection at once. */
  networkChanged(): void;
  /** Hang up. */
  close(): void;
  addEventListener<K extends keyof CallEvents>(type: K, listener: (event: CustomEvent<CallEvents[K]>) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

/** Call Morgan, inside a click. Returns at once, in the state "connecting". */
export function connect(options?: CallOptions): Call;

export interface Device {
  id: string;
  label: string;
}

/** Names are empty until a microphone was granted; no speakers where the browser lets no page choose. */
export function listDevices(): Promise<{ microphones: Device[]; speakers: Device[] }>;
/** Rejects with the browser's DOMException, whose name says why. */
export function openMicrophone(deviceId?: string): Promise<MediaStream>;

/** Loudness of streams. Make one inside a click. */
export class Levels {
  constructor(onState?: (state: string) => void);
  listenTo(name: "mic" | "voice", stream: MediaStream): void;
  read(): { mic: number; voice: number };
  peak(name: "mic" | "voice"): number | null;
  resume(): void;
  close(): void;
}

/** A request that did not end well; `status` is 0 when no answer came at all. */
export class SignalingError extends Error {
  readonly status: number;
  readonly code: string;
  readonly retryAfterS: number | null;
}

/** Join tokens begin so; they are exchanged by themselves for a session, which lasts for hours. */
export const JOIN: string;

/** Requests to one server. */
export class Signaling {
  constructor(server?: string | URL, token?: Token);
  exchange(token: string): Promise<{ token: string; user_id?: string }>;
  request(method: string, path: string, body?: object, signal?: AbortSignal, timeoutMs?: number): Promise<any>;
}

export interface Conversation {
  id: string;
  title: string | null;
  language: string | null;
  started_at: string;
  updated_at: string;
  channel: string;
  message_count: number;
}

export interface Recording {
  name: string;
  call_id: string;
  started_at: string;
  duration_s: number;
  bytes: number;
}

export interface Message {
  id: string;
  role: string;
  content: string;
  created_at: string;
  interrupted: boolean;
  latency: Record<string, number>;
  metadata: Record<string, unknown>;
}

export interface Found {
  message_id: string;
  conversation_id: string;
  role: string;
  content: string;
  created_at: string;
  score: number;
}

/** What is remembered of one user. */
export class Conversations {
  constructor(signaling: Signaling, userId: () => string | null);
  list(cursor?: string | null): Promise<{ conversations: Conversation[]; next_cursor: string | null }>;
  show(id: string): Promise<Conversation & { recordings: Recording[] }>;
  messages(id: string): Promise<Message[]>;
  search(words: string): Promise<Found[]>;
  recording(id: string, name: string): Promise<Blob>;
  export(id: string, format: "json" | "txt" | "vtt"): Promise<Blob>;
  delete(id: string): Promise<void>;
}
