"""The pace of transcripts ahead of time: how eagerly words are looked for, by how long they take here and now.

A transcription in vain costs a tenth of a second of a core on one processor and half a second on another, and there it
stands in the way of the one that an answer waits for. What is measured holds the wait in the lane, too, so that calls
get less eager as there are more of them.
"""

from pipeline.call.usual_time import UsualTime

EAGER_S = 0.25
"""Transcripts that come within this are asked for at every moment of silence; others at one that lasts.

The self-check hears three seconds without a draft, which takes 0.21 s where the transcripts of a call, of which most
have one, take 0.1 to 0.15 s: at 0.2 the first turn of each call was answered 40 ms later than the second."""

FIRST_INTERIM_S = 1.5
"""Speech before the first interim transcript: shorter turns are over before it would be of use."""

INTERIM_EVERY_S = 1.0
"""Pause between two interim transcripts; grows with the time that they take."""

INTERIM_SHARE = 10
"""The pause is at least this many times as long as a transcript takes: they slow down under load."""

FIRST_LOOK_S = 0.5
"""Speech before the first interim transcript of a call that looks ahead: each from then on may have the last word."""

LOOK_SHARE = 0.5
"""The pause between two of them there, as a share of what one takes."""

AHEAD_S = 0.35
"""Transcripts that take longer than this are not worth looking ahead: the last word would come too late."""

REFUSED_S = 0.1
"""The pause behind one for which there was no core."""

DIP_EVERY_S = 0.1
"""Pause between an interim transcript and one at a dip; at least as long as the last one took."""

GROUP_PAUSE_S = 0.35
"""Pause behind digits and letters that is waited for where transcripts are slow; the turn is not over sooner anyway."""

HESITANT_PAUSE_S = 0.16
"""The same of somebody who has made `HESITATIONS` pauses in this turn and gone on."""

HESITATIONS = 2

LOOK_AFTER_S = 1.15
"""Speech over a reply behind which its words so far are worth a slow transcript: most is over by then."""

WEIGHT = 0.5
"""Of the newest transcript in what is expected of the next one."""

REMEMBERED = 32
"""Transcriptions of which it is known when they were asked for; older ones will never come."""


class Pace:
    """What transcripts of one call take. Sans-I/O; times are monotonic.

    Args:
        expected_s: seconds that a transcript takes, until there was one.
        known_s: the same as it was measured on this machine; None where it was not.
        look_ahead: transcribe all the time while the user speaks: what was heard just before the last sound often has
            all the words, and the answer to them is begun before they are known for sure.

    Attributes:
        transcript_s: seconds from asking for a transcript to having it, as expected now.
        usual: the same, to tell an engine that is slow from one that gives no sign of itself.
    """

    def __init__(self, expected_s: float, *, known_s: float | None = None, look_ahead: bool = False) -> None:
        self.transcript_s = expected_s
        self.usual = UsualTime(known_s)
        self._look_ahead = look_ahead
        self._asked: dict[int, float] = {}
        self._next_interim = 0.0
        self._next_dip = 0.0

    @property
    def eager(self) -> bool:
        """Whether a transcript in vain costs little."""
        return self.transcript_s <= EAGER_S

    @property
    def ahead(self) -> bool:
        """Whether transcripts are made all the time while the user speaks."""
        return self._look_ahead and self.transcript_s <= AHEAD_S

    @property
    def look_after_s(self) -> float:
        """Speech over a reply from which on its words so far are looked at."""
        return 0.0 if self.eager else LOOK_AFTER_S

    def deferred_s(self, in_vain: int, *, grouped: bool) -> float:
        """Silence after the early one behind which a transcript is worth its while.

        Args:
            in_vain: pauses of this turn that were transcribed although it went on.
            grouped: the words before were digits or letters said in groups.
        """
        if self.eager:
            return 0.0
        if grouped:
            return GROUP_PAUSE_S
        return HESITANT_PAUSE_S if in_vain >= HESITATIONS else 0.0

    def begin(self, now: float) -> None:
        """A turn begins."""
        slow = max(FIRST_INTERIM_S, INTERIM_SHARE * self.transcript_s)
        self._next_interim = now + (FIRST_LOOK_S if self.ahead else slow)
        self._next_dip = now

    def asked(self, job: int, now: float) -> None:
        """A transcription was asked for."""
        self._asked[job] = now
        if len(self._asked) > REMEMBERED:
            del self._asked[next(iter(self._asked))]

    def answered(self, job: int, now: float, *, failed: bool) -> None:
        """It is there, or there will be none: that says nothing of how long one takes."""
        asked = self._asked.pop(job, None)
        if asked is not None and not failed:
            self.usual.took(now - asked)
            self.transcript_s += WEIGHT * (now - asked - self.transcript_s)

    def looked(self, now: float, took_s: float, *, refused: bool = False) -> None:
        """An interim transcript is there, or there was no core to spare for it."""
        if refused and self.ahead:
            self._next_interim = now + REFUSED_S
            return
        slow = max(INTERIM_EVERY_S, INTERIM_SHARE * max(took_s, self.transcript_s))
        self._next_interim = now + (LOOK_SHARE * took_s if self.ahead else slow)
        self._next_dip = now + max(DIP_EVERY_S, took_s)

    def interim_due(self, now: float) -> bool:
        """Whether it is time for an interim transcript."""
        return now >= self._next_interim

    def dip_due(self, now: float) -> bool:
        """Whether a moment of silence is worth a transcript that may be in vain."""
        return self.eager and now >= self._next_dip
