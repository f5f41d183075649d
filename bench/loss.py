"""How the outgoing voice sounds to a caller whose line loses packets: `python -m bench.loss [RECORDING...]`.

Recorded speech goes through Morgan's own queue, encoder and RTP numbers (`media.audio_sender`), a line that loses
packets at random (seeded, the same for all), and a decoder as browsers and phones have one: libopus, which takes a lost
packet's redundancy out of the next one, else conceals. Once a second the sender is told the loss, as by RTCP; "no FEC"
is a client without `useinbandfec=1`. Stock aiortc is sender and receiver beside it, 96 kbit/s, in the same run; what
its receiver leaves out stays silent, where it belongs in time.

Printed are PLCMOS v2 (1 to 5, `pip install speechmos`), PESQ wide-band against the recording where the package `pesq`
is installed too, and what the stream takes on the wire, with 60 bytes of headers a packet (IPv4, UDP, SRTP: 50 and
more). Without a recording those of the model `calibration-speech` are taken.
"""

import argparse
import importlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from aiortc.codecs.opus import OpusDecoder as StockDecoder
from aiortc.codecs.opus import OpusEncoder as StockEncoder
from aiortc.jitterbuffer import JitterBuffer as StockBuffer
from aiortc.rtp import RtpPacket as StockPacket
from av import AudioFrame
from av.audio.resampler import AudioResampler

from media.audio_file import AudioFile
from media.audio_sender import AudioSender
from media.opus import OpusDecoder, has_fec, packet_duration
from media.opus_format import OpusFormat
from media.playout import FRAME_SAMPLES, Playout
from media.values import RECEIVE_RATE, SEND_RATE, Pcm
from pipeline.models import ModelStore
from server.calibration.speech_clips import FILE, MODEL_ID
from server.settings import load_settings

LOSSES = (0.0, 0.02, 0.05, 0.1)
PIECE_S = 8.0
"""What both measures were made for."""
HEADERS = 60
REPORT_FRAMES = 50
STOCK_RATE = 48_000
STOCK_FRAME = STOCK_RATE // 50

FORMS: dict[str, OpusFormat | None] = {
    "Morgan 28 kbit/s, FEC by RTCP": OpusFormat(28_000),
    "Morgan 28 kbit/s, no FEC": OpusFormat(28_000, fec=False),
    "Morgan 20 kbit/s, 40 ms, FEC by RTCP": OpusFormat(20_000, 40),
    "Morgan 20 kbit/s, 40 ms, no FEC": OpusFormat(20_000, 40, fec=False),
    "Morgan 12 kbit/s, 40 ms": OpusFormat(12_000, 40),
    "stock aiortc": None,
}


@dataclass(frozen=True, slots=True)
class Received:
    """What came of a piece of speech.

    Attributes:
        pcm: 16 kHz, shape (n,).
        bits: on the wire, headers included.
        packets: sent.
        lost: of them.
        redundant: of them, those with redundancy.
    """

    pcm: Pcm
    bits: int
    packets: int
    lost: int
    redundant: int = 0


def sent_by_morgan(pcm: Pcm, form: OpusFormat, lost: Callable[[], bool]) -> Received:
    """Send speech as a call does, lose some of it, and decode what is left.

    Args:
        pcm: 24 kHz, shape (n,).
        form: how it is sent.
        lost: asked for each packet.
    """
    playout = Playout()
    sender = AudioSender(playout, form)
    playout.write(pcm)
    playout.finish()
    payloads: list[bytes | None] = []
    sizes: list[int] = []
    since = [0, 0]
    for number in range(len(pcm) // FRAME_SAMPLES):
        packet = sender.next_frame(number * 0.02).packet
        if packet is not None:
            gone = lost()
            payloads.append(None if gone else packet.payload)
            sizes.append(len(packet.payload))
            since = [since[0] + gone, since[1] + 1]
        if number % REPORT_FRAMES == REPORT_FRAMES - 1:
            sender.on_receiver_report(since[0] / max(1, since[1]))
            since = [0, 0]
    sender.close()
    audio = decoded(payloads, form.packet_ms * RECEIVE_RATE // 1000)
    redundant = sum(payload is not None and has_fec(payload) for payload in payloads)
    bits = 8 * (sum(sizes) + HEADERS * len(sizes))
    return Received(audio, bits, len(payloads), payloads.count(None), redundant)


def decoded(payloads: Sequence[bytes | None], samples: int) -> Pcm:
    """Decode packets in their order; None is a lost one.

    Args:
        payloads: of packets.
        samples: at 16 kHz, that a packet of speech holds.

    Returns:
        16 kHz, shape (n,).
    """
    decoder = OpusDecoder(RECEIVE_RATE)
    parts: list[Pcm] = []
    for payload, following in zip(payloads, [*payloads[1:], None], strict=True):
        if payload is not None:
            parts.append(decoder.decode(payload))
        elif following is not None and has_fec(following) and packet_duration(following) == samples * 3:
            parts.append(decoder.decode_fec(following, samples))
        else:
            parts.append(decoder.conceal(samples))
    decoder.close()
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def sent_by_aiortc(pcm: Pcm, lost: Callable[[], bool]) -> Received:
    """The same through aiortc's own encoder, jitter buffer and decoder.

    Args:
        pcm: 24 kHz, shape (n,).
        lost: asked for each packet.
    """
    encoder, decoder = StockEncoder(), StockDecoder()
    buffer = StockBuffer(capacity=16, prefetch=4)
    wide = resampled(pcm, SEND_RATE, STOCK_RATE)
    heard = np.zeros(len(wide) + STOCK_FRAME, np.int16)
    bits = packets = gone = 0
    for number in range(len(wide) // STOCK_FRAME):
        frame = AudioFrame.from_ndarray(
            np.repeat(wide[number * STOCK_FRAME : (number + 1) * STOCK_FRAME], 2)[None, :],
            format="s16",
            layout="stereo",
        )
        frame.sample_rate, frame.pts, frame.time_base = STOCK_RATE, number * STOCK_FRAME, Fraction(1, STOCK_RATE)
        (payload, *_), timestamp = encoder.encode(frame)
        bits, packets = bits + 8 * (len(payload) + HEADERS), packets + 1
        if lost():
            gone += 1
            continue
        packet = StockPacket(payload_type=96, sequence_number=number, timestamp=timestamp, payload=payload)
        packet._data = payload  # type: ignore[attr-defined]
        _, whole = buffer.add(packet)
        if whole is not None:
            for out in decoder.decode(whole):
                assert isinstance(out, AudioFrame)
                at = whole.timestamp
                mono = out.to_ndarray().reshape(-1, 2)[:, 0]
                room = heard[at : at + len(mono)]
                room[:] = mono[: len(room)]
    return Received(resampled(heard[: len(wide)], STOCK_RATE, RECEIVE_RATE), bits, packets, gone)


def resampled(pcm: Pcm, rate: int, to: int) -> Pcm:
    """Speech at another rate."""
    resampler = AudioResampler(format="s16", layout="mono", rate=to)
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(pcm)[None, :], format="s16", layout="mono")
    frame.sample_rate = rate
    parts = [each.to_ndarray()[0] for frames in (frame, None) for each in resampler.resample(frames)]
    return np.concatenate(parts)


def pieces(pcm: Pcm, most: int) -> list[Pcm]:
    """Speech in pieces of `PIECE_S`."""
    size = int(PIECE_S * SEND_RATE)
    return [pcm[start : start + size] for start in range(0, len(pcm) - size + 1, size)][:most]


def recordings(paths: Sequence[Path]) -> Iterator[Pcm]:
    """Speech of files, or of the calibration's book; 24 kHz."""
    if not paths:
        store = ModelStore(load_settings().models_dir)
        store.ensure([MODEL_ID])
        paths = [store.path(MODEL_ID) / FILE]
    for path in paths:
        source = AudioFile(path.read_bytes(), SEND_RATE)
        try:
            yield source.read(SEND_RATE * 120)
        finally:
            source.close()


class Judges:
    """PLCMOS, and PESQ where it is installed."""

    def __init__(self) -> None:
        self._plcmos = importlib.import_module("speechmos.plcmos").PLCMOS()
        try:
            self._pesq = importlib.import_module("pesq").pesq
        except ImportError:
            self._pesq = None

    def plcmos(self, pcm: Pcm) -> float:
        """1 to 5, of speech at 16 kHz by itself."""
        np.random.seed(7)  # the model draws its raters from the global generator
        return float(self._plcmos(pcm.astype(np.float64) / 32_768)["plcmos"])

    def pesq(self, reference: Pcm, pcm: Pcm) -> float | None:
        """1 to 4.6, of speech at 16 kHz against the recording; None without the package."""
        return None if self._pesq is None else float(self._pesq(RECEIVE_RATE, reference, pcm, "wb"))


def losing(share: float, seed: str) -> Callable[[], bool]:
    """Says of each packet whether it is lost."""
    rng = random.Random(seed)
    return lambda: rng.random() < share


def measure(speech: Sequence[Pcm], judges: Judges, form: OpusFormat | None, loss: float) -> dict[str, float | None]:
    """Mean scores of all pieces for one way of sending and one loss."""
    plcmos, pesq, kbps, redundant = [], [], [], []
    for number, pcm in enumerate(speech):
        draw = losing(loss, f"{number} {loss}")
        received = sent_by_aiortc(pcm, draw) if form is None else sent_by_morgan(pcm, form, draw)
        plcmos.append(judges.plcmos(received.pcm))
        pesq.append(judges.pesq(resampled(pcm, SEND_RATE, RECEIVE_RATE), received.pcm))
        kbps.append(received.bits / (len(pcm) / SEND_RATE) / 1000)
        redundant.append(received.redundant / max(1, received.packets))
    known = [each for each in pesq if each is not None]
    return {
        "plcmos": float(np.mean(plcmos)),
        "pesq": float(np.mean(known)) if known else None,
        "kbps": float(np.mean(kbps)),
        "redundant": float(np.mean(redundant)),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="*", type=Path)
    parser.add_argument("--pieces", type=int, default=5, help="of 8 s, of each recording")
    arguments = parser.parse_args()
    speech = [piece for pcm in recordings(arguments.recordings) for piece in pieces(pcm, arguments.pieces)]
    judges = Judges()
    print(f"{len(speech)} pieces of {PIECE_S:.0f} s; PLCMOS v2 / PESQ-WB at each loss; kbit/s with headers at 5 %\n")
    print(f"{'':<40}" + "".join(f"{loss:>15.0%}" for loss in LOSSES) + f"{'kbit/s':>10}{'with FEC':>10}")
    for name, form in FORMS.items():
        found = [measure(speech, judges, form, loss) for loss in LOSSES]
        scores = [
            f"{each['plcmos']:.2f} / " + ("-" if each["pesq"] is None else f"{each['pesq']:.2f}") for each in found
        ]
        at5 = found[LOSSES.index(0.05)]
        print(
            f"{name:<40}"
            + "".join(f"{score:>15}" for score in scores)
            + f"{at5['kbps']:>10.1f}{at5['redundant']:>10.0%}"
        )


if __name__ == "__main__":
    main()
