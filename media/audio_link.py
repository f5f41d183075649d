"""The audio of one call above SRTP: RTP and RTCP in both directions, and whether the far end is still there."""

import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from aiortc.rtp import RtcpPacket, RtcpRrPacket, RtcpSrPacket, is_rtcp

from media.audio_receiver import AudioReceiver
from media.audio_sender import AudioSender, Due
from media.codecs import AudioCodec
from media.opus_format import OpusFormat
from media.playout import Playout
from media.rtcp import RtcpSession
from media.rtp import RtpPacket
from media.values import FRAME_S, AudioFrame, AudioTap, PeerListener, PeerStats

BYE_GRACE_S = 1.0
"""A BYE counts as the end of the call when no RTP has come for this long after it."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What was negotiated.

    Attributes:
        payload_type: of the audio that comes in.
        sent_payload_type: of the audio that goes out.
        ssrc: of our stream.
        cname: of our stream.
        sends: whether the far end wants our audio.
        receives: whether the far end sends audio.
        opus: how our audio is sent.
        silence_timeout_s: see `MediaConfig`.
        codec: of the audio that comes in; None for Opus.
        sent_codec: of the audio that goes out, where it is another.
    """

    payload_type: int
    sent_payload_type: int
    ssrc: int
    cname: str
    sends: bool
    receives: bool
    opus: OpusFormat
    silence_timeout_s: float
    codec: AudioCodec | None = None
    sent_codec: AudioCodec | None = None


class AudioLink:
    """RTP and RTCP of one call; sans-I/O, all times are `time.monotonic()` seconds.

    Args:
        settings: what was negotiated.
        playout: the outgoing queue; read from by this link alone, until `release`.
        listener: hears of audio, playout, loss and return.
        send: takes a plain RTP or RTCP packet to encrypt and send.
        now: when the connection came up.
        tap: listens in on both directions.
    """

    def __init__(
        self,
        settings: LinkSettings,
        playout: Playout,
        listener: PeerListener,
        send: Callable[[bytes], None],
        now: float,
        tap: AudioTap | None = None,
    ) -> None:
        self.connected_at = now
        self._settings = settings
        self._listener = listener
        self._send = send
        self._tap = tap
        codec = settings.codec or AudioCodec("opus", settings.payload_type)
        self._receiver = AudioReceiver(codec)
        self._sender = AudioSender(
            playout,
            settings.opus,
            # RFC 3550 section 5.1: both start at random; the sequence low, so that it cannot wrap before SRTP is up.
            sequence_number=secrets.randbelow(1 << 15),
            timestamp=secrets.randbits(32),
            codec=settings.sent_codec or codec,
        )
        self._rtcp = RtcpSession(settings.ssrc, settings.cname, random.Random(settings.ssrc))
        self._plays = True
        self._lost = False
        self._bye_at: float | None = None
        self._malformed = 0

    def packet_received(self, data: bytes, now: float) -> None:
        """Take a decrypted RTP or RTCP packet."""
        try:
            if is_rtcp(data):
                self._rtcp_received(data, now)
            else:
                self._rtp_received(RtpPacket.parse(data), now)
        except ValueError:
            self._malformed += 1

    def tick(self, due: Due, now: float, read: bool) -> None:
        """Send the frames that are due, hand on what the jitter buffer releases, and look after the timers.

        Args:
            due: frames to send and to skip.
            now: monotonic, s.
            read: whether all packets that have come by now were taken; what has not been read is not yet late.
        """
        if read:
            self._hand_on(self._receiver.poll(now))
        if self._plays:
            if due.skipped:
                self._sender.skip(due.skipped)
            for _ in range(due.frames):
                self._send_frame(now)
        if self._rtcp.report_due(now):
            sender, sends = self._sender, self._settings.sends and self._plays
            self._send(
                self._rtcp.report(
                    now,
                    sender.packets_sent if sends else 0,
                    sender.bytes_sent if sends else 0,
                    sender.rtp_timestamp(now),
                    self._receiver.reception,
                )
            )
        self._watch(now)

    @property
    def resting(self) -> bool:
        """Whether 40 ms may pass between two ticks: nothing is being said or about to be."""
        return self._sender.resting

    def said_goodbye(self, now: float) -> bool:
        """Whether the far end sent a BYE and has sent no RTP since for `BYE_GRACE_S`."""
        return self._bye_at is not None and now - self._bye_at > BYE_GRACE_S

    def settle(self, settings: LinkSettings) -> None:
        """Something else was negotiated: other directions. What comes in is the same stream as before."""
        self._settings = settings

    def release(self) -> None:
        """Read no more from the playout: another connection of the same call goes on with it."""
        self._plays = False

    def bye(self) -> bytes:
        """The RTCP packet that says goodbye."""
        return self._rtcp.bye()

    def stats(self, now: float, srtp_discarded: int = 0) -> PeerStats:
        """The statistics as of now.

        Args:
            now: monotonic, s.
            srtp_discarded: packets that were thrown away before they got here.
        """
        received = self._receiver.stats()
        sends = self._settings.sends
        return PeerStats(
            packets_received=received.packets_received,
            packets_lost=received.packets_lost,
            packets_discarded=received.packets_discarded + self._malformed + srtp_discarded,
            fec_recovered=received.fec_recovered,
            concealed=received.concealed,
            jitter_s=received.jitter_s,
            jitter_buffer_s=received.jitter_buffer_s,
            packets_sent=self._sender.packets_sent if sends else 0,
            bytes_received=received.bytes_received,
            bytes_sent=self._sender.bytes_sent if sends else 0,
            remote_fraction_lost=self._rtcp.remote_fraction_lost,
            round_trip_s=self._rtcp.round_trip_s,
            connected_s=now - self.connected_at,
        )

    def close(self) -> None:
        """Free the codecs."""
        self._plays = False
        self._receiver.close()
        self._sender.close()

    def _rtp_received(self, packet: RtpPacket, now: float) -> None:
        self._bye_at = None
        self._receiver.take(packet, now)
        while self._receiver.keys:
            self._listener.on_key(self._receiver.keys.popleft())
        if self._lost:
            self._lost = False
            self._listener.on_found()
        # While nothing is said, the tick decodes what came since the last: one after the other costs less.
        if not self.resting:
            self._hand_on(self._receiver.poll(now))

    def _rtcp_received(self, data: bytes, now: float) -> None:
        for packet in RtcpPacket.parse(data):
            for ssrc in self._rtcp.handle(packet, now, self._receiver.reception):
                if ssrc == self._receiver.ssrc:
                    self._receiver.bye(ssrc)
                    self._bye_at = now
            lost = self._rtcp.remote_fraction_lost
            if lost is not None and isinstance(packet, RtcpSrPacket | RtcpRrPacket) and packet.reports:
                self._sender.on_receiver_report(lost)

    def _hand_on(self, frames: list[AudioFrame]) -> None:
        for frame in frames:
            self._listener.on_audio(frame)
            if self._tap is not None:
                self._tap.on_heard(frame.pcm, frame.said_at)

    def _send_frame(self, now: float) -> None:
        frame = self._sender.next_frame(now)
        out = frame.packet
        if out is not None and self._settings.sends:
            packet = RtpPacket(
                self._settings.sent_payload_type,
                out.marker,
                out.sequence_number,
                out.timestamp,
                self._settings.ssrc,
                out.payload,
            )
            self._send(packet.serialize())
        if self._tap is not None and self._settings.sends:
            self._tap.on_said(frame.pcm, now + FRAME_S)
        for event in frame.events:
            self._listener.on_playout(event)

    def _watch(self, now: float) -> None:
        if not self._settings.receives or self._lost:
            return
        heard_at = self._receiver.last_packet_at
        if now - (self.connected_at if heard_at is None else heard_at) > self._settings.silence_timeout_s:
            self._lost = True
            self._listener.on_lost()
