/**
 * How a connection does, out of `RTCPeerConnection.getStats()` (https://www.w3.org/TR/webrtc-stats/). What the browser does
 * not tell is null.
 *
 * @import {ConnectionFigures} from "../morgan.js"
 * @typedef {"at"|"received"|"lost"|"samples"|"concealed"|"delay"|"emitted"|"inBytes"|"outBytes"} Count
 * @typedef {Record<Count, number>} Counts
 */

export class Statistics {
  /** @type {Counts|null} */
  #before = null;

  /** @param {RTCStatsReport} report @returns {ConnectionFigures} */
  figures(report) {
    const all = [...report.values()];
    const inbound = all.find((s) => s.type === "inbound-rtp" && s.kind === "audio") ?? {};
    const outbound = all.find((s) => s.type === "outbound-rtp" && s.kind === "audio") ?? {};
    const remote = all.find((s) => s.type === "remote-inbound-rtp" && s.kind === "audio") ?? {};
    const pair = pairOf(all, report);
    const now = countsOf(inbound, outbound);
    const before = this.#before ?? now;
    this.#before = now;
    const since = (/** @type {Count} */ name) => now[name] - before[name];
    const seconds = Math.max(0.001, since("at") / 1000);
    const roundTrip = pair?.currentRoundTripTime ?? remote.roundTripTime;
    const codec = report.get(inbound.codecId ?? outbound.codecId ?? "");
    return {
      roundTripMs: milliseconds(roundTrip),
      jitterMs: milliseconds(inbound.jitter),
      lossPercent: share(since("lost"), since("lost") + since("received")),
      concealedPercent: share(since("concealed"), since("samples")),
      bufferMs: since("emitted") > 0 ? (since("delay") / since("emitted")) * 1000 : null,
      inKbps: (since("inBytes") * 8) / seconds / 1000,
      outKbps: (since("outBytes") * 8) / seconds / 1000,
      codec: codec ? `${codec.mimeType.replace("audio/", "")}${codec.clockRate ? `, ${codec.clockRate / 1000} kHz` : ""}` : "",
      local: place(report.get(pair?.localCandidateId ?? "")),
      remote: place(report.get(pair?.remoteCandidateId ?? "")),
    };
  }
}

/** @param {any[]} all @param {RTCStatsReport} report */
function pairOf(all, report) {
  const transport = all.find((s) => s.type === "transport" && s.selectedCandidatePairId);
  return transport ? report.get(transport.selectedCandidatePairId) : all.find((s) => s.type === "candidate-pair" && (s.selected || (s.nominated && s.state === "succeeded")));
}

/** @param {any} inbound @param {any} outbound @returns {Counts} */
function countsOf(inbound, outbound) {
  return {
    at: inbound.timestamp ?? performance.now(),
    received: inbound.packetsReceived ?? 0,
    lost: Math.max(0, inbound.packetsLost ?? 0),
    samples: inbound.totalSamplesReceived ?? 0,
    // What is filled in while nothing is sent is comfort noise, not loss.
    concealed: (inbound.concealedSamples ?? 0) - (inbound.silentConcealedSamples ?? 0),
    delay: inbound.jitterBufferDelay ?? 0,
    emitted: inbound.jitterBufferEmittedCount ?? 0,
    inBytes: inbound.bytesReceived ?? 0,
    outBytes: outbound.bytesSent ?? 0,
  };
}

/** @param {number|undefined} seconds */
function milliseconds(seconds) {
  return typeof seconds === "number" ? seconds * 1000 : null;
}

/** @param {number} part @param {number} whole */
function share(part, whole) {
  return whole > 0 ? (Math.max(0, part) / whole) * 100 : null;
}

/** @param {any} candidate */
function place(candidate) {
  if (!candidate) return "";
  const address = candidate.address ?? candidate.ip;
  return [candidate.candidateType, candidate.protocol, address && `${address}:${candidate.port}`].filter(Boolean).join(" ");
}
