// Runs the React Native client's own signaling (examples/mobile/react-native/src) under Node. The WebRTC stack is whoever
// reads and writes JSON lines on this process's standard streams: a peer connection here is a name for one there.

import { createInterface } from "node:readline";

const [folder, server, token, conversationId] = process.argv.slice(2);
const { Signaling } = await import(`${folder}/signaling.js`);
const { MorganCall } = await import(`${folder}/call.js`);

const tell = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const peers = [];
const waiting = new Map();
let asked = 0;

function ask(peer, what, value) {
  tell({ ask: ++asked, peer, what, value });
  return new Promise((done) => waiting.set(asked, done));
}

class Peer {
  constructor(iceServers) {
    this.number = peers.push(this) - 1;
    tell({ turn: iceServers });
    this.connectionState = "new";
  }
  createDataChannel(label) {
    tell({ channel: label });
    return (this.channel = { readyState: "connecting", send: (text) => tell({ peer: this.number, said: JSON.parse(text) }) });
  }
  async createOffer() {
    return { type: "offer", sdp: await ask(this.number, "offer") };
  }
  async setLocalDescription(description) {
    this.localDescription = description;
  }
  setRemoteDescription({ sdp }) {
    return ask(this.number, "answer", sdp);
  }
  close() {
    tell({ peer: this.number, closed: true });
  }
}

// What travelled, as the server answered it.
const plain = globalThis.fetch;
globalThis.fetch = async (url, options) => {
  const response = await plain(url, options);
  const body = options.body ? JSON.parse(options.body) : {};
  tell({ request: options.method, path: new URL(url).pathname, status: response.status, candidates: body.candidates?.length ?? 0, resumed: "resume_token" in body });
  return response;
};

const call = new MorganCall(new Signaling(server, token || null), { userId: "node", conversationId: conversationId || undefined }, async (iceServers) => new Peer(iceServers), {
  state: (state) => tell({ state, call: call.callId, conversation: call.conversationId }),
  event: (event) => tell({ event: event.type }),
  ended: (reason, error) => tell({ ended: reason, status: error?.status ?? null, code: error?.code ?? null }),
});

createInterface({ input: process.stdin }).on("line", (line) => {
  const { answer, value, peer, state, candidate, open, message, act } = JSON.parse(line);
  if (answer) waiting.get(answer)(value);
  else if (candidate) peers[peer].onicecandidate({ candidate });
  else if (state) (peers[peer].connectionState = state), peers[peer].onconnectionstatechange();
  else if (open) peers[peer].channel.readyState = "open";
  else if (message) peers[peer].channel.onmessage({ data: message });
  else if (act === "start") call.start().catch(() => {});
  else if (act === "networkChanged") call.networkChanged();
  else if (act === "say") call.say(value);
  else if (act === "end") call.end().then(() => process.exit(0));
});
