// What tests of JavaScript clients have in a page: the stock packages, a microphone that speaks when told to, and an ear.

import { createOpenAI } from "@ai-sdk/openai";
import { OpenAIRealtimeWebRTC, RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";
import { PipecatClient } from "@pipecat-ai/client-js";
import { SmallWebRTCTransport, WavMediaManager } from "@pipecat-ai/small-webrtc-transport";
import { Experimental_AbstractRealtimeSession } from "ai";
import OpenAI from "openai";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";
import { WHIPClient } from "whip-whep/whip.js";
import { z } from "zod";

/** What the AI SDK leaves to its bindings of React, Vue, ...: where a session's state is kept. */
class AiRealtimeSession extends Experimental_AbstractRealtimeSession {
  setState() {}
}

Object.assign(globalThis, {
  AiRealtimeSession,
  OpenAI,
  OpenAIRealtimeWebRTC,
  OpenAIRealtimeWebSocket,
  PipecatClient,
  RealtimeAgent,
  RealtimeSession,
  SmallWebRTCTransport,
  WHIPClient,
  WavMediaManager,
  createOpenAI,
  tool,
  z,
});

const context = new AudioContext();
const microphone = context.createMediaStreamDestination();

globalThis.heard = { loudest: 0 };

navigator.mediaDevices.getUserMedia = async () => microphone.stream;

/** Says a WAV file, base64. */
globalThis.say = async (file) => {
  const bytes = Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0));
  const source = context.createBufferSource();
  source.buffer = await context.decodeAudioData(bytes.buffer);
  source.connect(microphone);
  source.start();
};

/** Listens to a remote track; Chromium lets Web Audio hear one only while an element plays it, too. */
globalThis.listen = (stream) => {
  const element = new Audio();
  element.srcObject = stream;
  element.play();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    globalThis.heard.loudest = Math.max(globalThis.heard.loudest, ...samples.map(Math.abs));
  }, 50);
};
