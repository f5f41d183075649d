"""What 20 ms of a call cost in media's cores, in microseconds: `python -m bench.media_cores`.

Also measured: how long a decode waits for the GIL while other threads compute, through PyDLL (what Morgan uses) and
through CDLL (which releases the GIL around each call).
"""

import ctypes
import statistics
import threading
import time
from collections.abc import Callable

import numpy as np

from media import opus
from media.audio_receiver import AudioReceiver
from media.audio_sender import AudioSender
from media.jitter_buffer import JitterBuffer
from media.opus import SILENCE, OpusDecoder, OpusEncoder
from media.playout import Playout
from media.rtp import RtpPacket
from media.values import Pcm

FRAMES = 500


def voice(frames: int) -> Pcm:
    """A buzz with syllables, 24 kHz."""
    t = np.arange(frames * 480) / 24_000
    buzz = sum(np.sin(2 * np.pi * 140 * k * t + k) / k for k in range(1, 25))
    return np.asarray(buzz * np.sin(np.pi * 3 * t) ** 2 * 5000, dtype=np.int16)


def per_frame(work: Callable[[int], object], frames: int = FRAMES) -> float:
    """Microseconds of CPU per call, the least of three rounds."""
    rounds = []
    for turn in range(3):
        started = time.process_time()
        for i in range(turn * frames, (turn + 1) * frames):
            work(i)
        rounds.append((time.process_time() - started) / frames * 1e6)
    return min(rounds)


def report(name: str, microseconds: float) -> None:
    print(f"{name:<58}{microseconds:8.1f} us{microseconds / 200:7.2f} % of a core")


def codec(pcm: Pcm) -> list[bytes]:
    """Encoder and decoder alone; returns encoded speech."""
    encoder, decoder = OpusEncoder(), OpusDecoder()
    encoder.set_packet_loss(10)
    payloads = [encoder.encode(pcm[i * 480 : (i + 1) * 480]) for i in range(FRAMES)]
    for complexity in (0, 5, 10):
        each = OpusEncoder(complexity=complexity)
        each.set_packet_loss(10)
        cost = per_frame(lambda i, each=each: each.encode(pcm[i % FRAMES * 480 : (i % FRAMES + 1) * 480]))  # type: ignore[misc]
        report(f"encode 24 kHz speech, complexity {complexity}", cost)
    report("decode speech to 16 kHz", per_frame(lambda i: decoder.decode(payloads[i % FRAMES])))
    report("decode silence to 16 kHz", per_frame(lambda i: decoder.decode(SILENCE)))
    report("recover a frame from redundancy", per_frame(lambda i: decoder.decode_fec(payloads[i % FRAMES], 320)))
    report("conceal a frame", per_frame(lambda i: decoder.conceal(320)))
    return payloads


def cores(pcm: Pcm, payloads: list[bytes]) -> None:
    """Buffer, queue, and the two ends of a call."""
    buffer = JitterBuffer()

    def through_buffer(i: int) -> None:
        buffer.push(i & 0xFFFF, i * 960, payloads[i % FRAMES], 960, i * 0.02)
        buffer.pop(i * 0.02)

    report("jitter buffer, push and pop", per_frame(through_buffer))
    receiver = AudioReceiver(111)

    def receive(number: int) -> None:
        packet = RtpPacket(111, False, number & 0xFFFF, number * 960, 7, payloads[number % FRAMES])
        receiver.take(packet, number * 0.02)
        receiver.poll(number * 0.02)

    report("receiver, speech", per_frame(receive))
    playout = Playout()
    for _ in range(4):
        playout.write(pcm)
    report("playout, speech", per_frame(lambda i: playout.next_frame(0.0)))
    playout.flush()
    sender = AudioSender(playout)
    for _ in range(4):
        playout.write(pcm)
    report("sender, speech (playout, encoder, level)", per_frame(lambda i: sender.next_frame(0.0)))
    playout.flush()
    report("sender, silence", per_frame(lambda i: sender.next_frame(0.0)))


def gil(payloads: list[bytes]) -> None:
    """Wall time of a decode beside three threads of busy Python, with the library loaded in both ways."""
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=spin, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    keeping: ctypes.CDLL = opus._library()
    releasing = ctypes.CDLL(keeping._name)
    opus._declare(releasing)
    for name, library in (("PyDLL", keeping), ("CDLL", releasing)):
        decoder = OpusDecoder()
        decoder._lib = library
        waits = []
        for payload in payloads[:100]:
            time.sleep(0.002)
            started = time.perf_counter()
            decoder.decode(payload)
            waits.append((time.perf_counter() - started) * 1e3)
        worst = sorted(waits)[94]
        print(
            f"decode beside three busy threads, {name:<6} median {statistics.median(waits):.3f} ms, p95 {worst:.3f} ms"
        )
    stop.set()
    for thread in threads:
        thread.join()


def main() -> None:
    pcm = voice(FRAMES)
    payloads = codec(pcm)
    cores(pcm, payloads)
    gil(payloads)


if __name__ == "__main__":
    main()
