"""Gain in front of voice activity for quiet voices: Silero VAD hardly notices a digit that is said at -43 dBFS.

Nothing else gets it: levels, echo and transcripts are of the audio as it came.
"""

MOST_DB = 18.0
"""Gain for who is heard best of all. Of 13 noises of a dev set none gets a voice window more by it."""

QUIET_DB = -34.0
"""Loudness (dBFS) of the loudest of the last moments from which nothing is raised: voice activity hears that well, and
with more it ends letters sooner."""

SLOPE = 6.0
"""Decibels of gain for each that it is quieter."""

ROOM_DB = -60.0
"""A background (dBFS) above this is not raised: what is quiet in it is somebody far away."""

NO_SOUND_DB = -66.0
"""Background that a muted microphone counts as."""

RISE_DB = 0.1
"""By how much the idea of the background rises with each window (3 dB/s), until a quieter one brings it down."""

HOLD = 94
"""Windows (3 s) for which a loud one counts: pauses of a loud voice are not raised."""

ECHO_HOLD = 10
"""Windows after a reply for which there may be echo of it."""


class QuietVoiceGain:
    """Follows how loud it is, 32 ms at a time. Sans-I/O."""

    def __init__(self) -> None:
        self._background_db = 0.0
        self._loudest_db = -100.0
        self._since_loudest = 0
        self._echo = 0

    def db(self, level_db: float, *, echo: bool = False) -> float:
        """Gain for the window that comes now, dB.

        Args:
            level_db: of its loudest part, dBFS.
            echo: a reply sounds, whose echo may be in it; an echo is not raised.
        """
        self._background_db = min(max(level_db, NO_SOUND_DB), self._background_db + RISE_DB)
        self._echo = ECHO_HOLD if echo else max(0, self._echo - 1)
        if self._echo:
            return 0.0
        self._since_loudest += 1
        if level_db >= self._loudest_db or self._since_loudest > HOLD:
            self._loudest_db, self._since_loudest = level_db, 0
        if self._background_db > ROOM_DB:
            return 0.0
        return min(max(SLOPE * (QUIET_DB - self._loudest_db), 0.0), MOST_DB)
