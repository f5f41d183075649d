"""Latency of a turn: instants taken as it passes, stages that sum to the gap that the user heard."""

from dataclasses import dataclass


@dataclass(slots=True)
class TurnInstants:
    """Monotonic times of one turn, None while not (or never) reached.

    Attributes:
        speech_ended: last audible sample of the user.
        silence_seen: the policy saw the early silence from which the released reply was made.
        transcribed: its transcript was there.
        first_token: the language model's first characters.
        first_clause: the first piece of text was complete.
        first_audio: its first audio was there.
        committed: the policy took the turn as over.
        released: the audio was handed to the playout.
        played: the first audible frame went out.
    """

    speech_ended: float | None = None
    silence_seen: float | None = None
    transcribed: float | None = None
    first_token: float | None = None
    first_clause: float | None = None
    first_audio: float | None = None
    committed: float | None = None
    released: float | None = None
    played: float | None = None

    def stages(self) -> dict[str, float]:
        """Milliseconds of each stage, in order; they sum to the time from `speech_ended` to `played`.

        A stage that was over before the one ahead of it (a reply that was reused, a clause that came with the first
        token) counts 0: what is told is what the user waited for.
        """
        if self.speech_ended is None or self.played is None:
            return {}
        order = (
            ("silence_wait", self.silence_seen),
            ("stt", self.transcribed),
            ("llm_first_token", self.first_token),
            ("first_clause", self.first_clause),
            ("tts_first_audio", self.first_audio),
            ("release", self.released),
            ("first_packet", self.played),
        )
        parts, reached = {}, self.speech_ended
        for name, instant in order:
            instant = reached if instant is None else min(max(instant, reached), self.played)
            parts[name] = (instant - reached) * 1000
            reached = instant
        return parts

    def voice_to_voice_ms(self) -> float | None:
        """Milliseconds from the user's last audible sample to the first frame of the reply."""
        if self.speech_ended is None or self.played is None:
            return None
        return (self.played - self.speech_ended) * 1000
