"""When to speak and when to listen: a pure policy over voice activity, turn scores and the clock.

`TurnTaking` is told what is heard (`hear`, once per 32 ms window), what the turn model thinks (`score`), what the words
look like (`words`), and whether Morgan is audible (`reply_audible`); it returns decisions. It owns no clock: every
method takes `at`, monotonic seconds. Waits count from the last speech, so the time that models take lies inside of
them, not on top.
"""

import enum
import math

from pipeline.call.turn_taking.adaptive_wait import AdaptiveWait
from pipeline.call.turn_taking.config import WINDOW_S, TurnTakingConfig
from pipeline.call.turn_taking.speaker_level import SpeakerLevel
from pipeline.text.groups import More

FLOOR_RISE_DB = 0.1
"""By how much the idea of the background rises with each window (3 dB/s), until a quieter one brings it down."""

UNHEARD_S = 0.1
"""Audio is always late by a little; what has not come by so much later is missing."""


class Decision(enum.Enum):
    """What the policy wants done."""

    SPEECH_STARTED = "speech_started"
    """A turn begins."""
    DIP = "dip"
    """A moment of silence, as in front of a "p" or at the end of a turn."""
    EARLY_SILENCE = "early_silence"
    """The turn may be over: start to work on it."""
    ASK = "ask"
    """Ask the turn model, with the silence so far."""
    SPEECH_RESUMED = "speech_resumed"
    """It was a pause: what was begun at the early silence is out of date."""
    HURRY = "hurry"
    """The turn is over unless its words, which are not known yet, say otherwise: they are wanted now."""
    COMMIT = "commit"
    """The turn is over."""
    DUCK = "duck"
    """Somebody may be speaking over the reply."""
    PAUSE = "pause"
    """Somebody is speaking over the reply."""
    OVERLAP_WORDS = "overlap_words"
    """They go on; whether they mean it is told by the words so far."""
    OVERLAP_ENDED = "overlap_ended"
    """They stopped; whether they meant it is told by the words."""
    UNDUCK = "unduck"
    """It was nothing."""
    INTERRUPT = "interrupt"
    """They mean it: give the reply up."""
    IDLE_PROMPT = "idle_prompt"
    IDLE_HANGUP = "idle_hangup"


class _Phase(enum.Enum):
    QUIET = enum.auto()
    SPEECH = enum.auto()
    SILENCE = enum.auto()
    OVERLAP = enum.auto()
    OVERLAP_ENDED = enum.auto()


class TurnTaking:
    """The policy of one call.

    Attributes:
        last_speech: monotonic time of the end of the last window with speech.
        speech_began: monotonic time of the start of the first window of the speech in hand.
    """

    def __init__(self, config: TurnTakingConfig | None = None) -> None:
        self.config = config or TurnTakingConfig()
        self.last_speech = 0.0
        self.speech_began = 0.0
        self._phase = _Phase.QUIET
        self._onset = 0.0
        self._score: float | None = None
        self._more, self._question = More.NO, False
        self._words_pending = False
        self._hurried = False
        self._dipped_at: float | None = None
        self._next_ask_s, self._asked = 0.0, False
        self._patience = AdaptiveWait(self.config)
        self._level = SpeakerLevel()
        self._paused = False
        self._next_words_s = self._give_up_s = 0.0
        self._loudest_db = -100.0
        self._floor_db = 0.0
        self._reply_since: float | None = None
        self._reply_level_db = -100.0
        self._committed_at: float | None = None
        self._going_on_until = 0.0
        self._quiet_since: float | None = None
        self._prompts = 0
        self._heard_at: float | None = None
        self._missing_s = 0.0

    def configure(self, config: TurnTakingConfig) -> None:
        """How patient and how easily interrupted Morgan is from now on."""
        if config != self.config:
            self.config = config
            self._patience.configure(config)

    @property
    def in_turn(self) -> bool:
        """Whether a turn is open: begun and not committed."""
        return self._phase in (_Phase.SPEECH, _Phase.SILENCE)

    @property
    def silent(self) -> bool:
        """Whether the open turn is in a pause."""
        return self._phase is _Phase.SILENCE

    @property
    def words_end(self) -> float:
        """Monotonic time up to which there may be words: what sounds on at the level of a dip is none."""
        return self.last_speech if self._dipped_at is None else min(self._dipped_at, self.last_speech)

    def silence(self, at: float) -> float:
        """Seconds since the last speech."""
        return at - self.last_speech

    @property
    def going_on_since(self) -> float:
        """Monotonic time from which speech that takes up the committed turn is to be transcribed.

        That is the first voice after the commit: a short burst over the reply may have been taken for nothing, and its
        audio is the first word of what follows.
        """
        first = self._patience.first_voice
        return self.speech_began if first is None or not self.continues_turn(self.speech_began) else first

    def continues_turn(self, at: float) -> bool:
        """Whether speech that began now would belong to the turn committed last."""
        return self._committed_at is not None and at < self._going_on_until

    @property
    def going_on(self) -> bool:
        """Whether speech over a reply goes on with the committed turn: nothing of the reply could be answered yet."""
        since = self._reply_since
        return (
            since is not None
            and self.speech_began - since < self.config.unheard_s
            and self.continues_turn(self.speech_began)
        )

    # What is heard -----------------------------------------------------------------------------------------------

    def hear(
        self, probability: float, at: float, level_db: float = 0.0, tail_db: float | None = None
    ) -> list[Decision]:
        """Take in a window.

        Args:
            probability: of voice, 0 to 1.
            at: monotonic time of the window's last sample.
            level_db: loudness of the loudest part of the window, dBFS.
            tail_db: the same of its second half; None when it is not known.
        """
        self._heard_at, self._missing_s = at, 0.0
        self._loudest_db = max(self._loudest_db, level_db)
        self._floor_db = min(level_db, self._floor_db + FLOOR_RISE_DB)
        self._patience.hear(probability, at)
        self._level.hear(level_db)
        match self._phase:
            case _Phase.QUIET:
                return self._hear_quiet(probability, at, level_db)
            case _Phase.SPEECH:
                dip = self._dip(level_db if tail_db is None else tail_db, at)
                return self._hear_speech(probability, at, level_db) or dip
            case _Phase.SILENCE:
                return self._hear_silence(probability, at, level_db)
            case _:
                return self._hear_overlap(probability, at, level_db)

    def miss(self, at: float) -> list[Decision]:
        """Take in a window that was lost: for `missing_s` the time in it does not pass.

        Args:
            at: monotonic time of the window's last sample.
        """
        self._heard_at = at
        self._missing_s += WINDOW_S
        if self._missing_s <= self.config.missing_s and self._phase is not _Phase.QUIET:
            self.last_speech += WINDOW_S
            return []
        return self._hear_nothing(at)

    def _hear_nothing(self, at: float) -> list[Decision]:
        """Silence of which nothing is known."""
        match self._phase:
            case _Phase.QUIET:
                return self._idle(at)
            case _Phase.SPEECH:
                return self._hear_speech(0.0, at, self._loudest_db)
            case _Phase.SILENCE:
                return self.tick(at)
            case _:
                return self._hear_overlap(0.0, at, self._loudest_db)

    def _is_voice(self, probability: float, at: float, level_db: float) -> bool:
        since = self._reply_since
        if since is not None and self._level.too_far(self._phase is _Phase.OVERLAP or self._onset > 0):
            return False
        if since is not None and at - since < self.config.echo_guard_s:
            return (
                probability >= self.config.echo_threshold
                and level_db >= self._reply_level_db - self.config.echo_margin_db
            )
        return probability >= self.config.speech_threshold

    def _fell_silent(self, level_db: float) -> bool:
        """Whether the sound has dropped from speech to the background, whatever voice activity still says."""
        config = self.config
        background = max(self._floor_db + config.near_floor_db, config.silent_db)
        return level_db <= min(self._loudest_db - config.drop_db, background)

    def _hear_quiet(self, probability: float, at: float, level_db: float) -> list[Decision]:
        if not self._is_voice(probability, at, level_db):
            self._onset = 0.0
            return self._idle(at)
        if self._onset == 0.0:
            self.speech_began = at - WINDOW_S
        self._onset += WINDOW_S
        needed = self.config.duck_s if self._reply_since is not None else self.config.onset_s
        if self._onset < needed - 1e-6:
            return []
        self.last_speech = at
        self._quiet_since = None
        if self._reply_since is not None:
            self._phase = _Phase.OVERLAP
            self._paused = False
            self._next_words_s, self._give_up_s = self.config.overlap_words_s, self.config.cancel_s
            return [Decision.DUCK, *self._overlap_pause(at)]
        self._begin_turn()
        return [Decision.SPEECH_STARTED]

    def _hear_speech(self, probability: float, at: float, level_db: float) -> list[Decision]:
        if probability >= self.config.silence_threshold and not self._fell_silent(level_db):
            self.last_speech = at
            self._level.speech(level_db)
            return []
        if self.silence(at) < self.config.early_silence_s - 1e-6:
            return []
        return [self._fall_silent()]

    def _fall_silent(self) -> Decision:
        self._phase = _Phase.SILENCE
        self._onset = 0.0
        self._score = None
        self._words_pending = self._hurried = False
        self._next_ask_s, self._asked = 0.0, False
        return Decision.EARLY_SILENCE

    def _dip(self, tail_db: float, at: float) -> list[Decision]:
        """What sounds on below that level is no words: the breath behind them, the room."""
        config = self.config
        low = max(self._floor_db + config.near_floor_db, config.dip_db)
        if tail_db > min(self._loudest_db - config.drop_db, low):
            self._dipped_at = None
            return []
        if self._dipped_at is not None:
            return []
        self._dipped_at = at
        return [Decision.DIP]

    def _hear_silence(self, probability: float, at: float, level_db: float) -> list[Decision]:
        if probability < self.config.speech_threshold or self._fell_silent(level_db):
            self._onset = 0.0
            return self.tick(at)
        self._onset += WINDOW_S
        if self._onset < self.config.resume_s - 1e-6:
            return []
        self.last_speech = at
        self._phase = _Phase.SPEECH
        self._more, self._question = More.NO, False
        return [Decision.SPEECH_RESUMED]

    def _hear_overlap(self, probability: float, at: float, level_db: float) -> list[Decision]:
        if self._is_voice(probability, at, level_db):
            self.last_speech = at
            self._phase = _Phase.OVERLAP
            spoken = at - self.speech_began
            if spoken >= self._give_up_s:
                return [self._interrupt()]
            if self._paused and spoken >= self._next_words_s:
                self._next_words_s = spoken + self.config.overlap_again_s
                return [Decision.OVERLAP_WORDS]
            return self._overlap_pause(at)
        if self._phase is _Phase.OVERLAP_ENDED or self.silence(at) < self.config.overlap_end_s - 1e-6:
            return []
        if self._paused:
            self._phase = _Phase.OVERLAP_ENDED
            return [Decision.OVERLAP_ENDED]
        self._end_overlap()
        return [Decision.UNDUCK]

    def _overlap_pause(self, at: float) -> list[Decision]:
        """A reply that answers a turn of a moment ago stops at once: the user is simply going on."""
        if self._paused:
            return []
        if at - self.speech_began >= self.config.pause_s or self.continues_turn(at):
            self._paused = True
            return [Decision.PAUSE]
        return []

    # What the models say -----------------------------------------------------------------------------------------

    def score(self, completeness: float) -> None:
        """Take in the turn model's answer to the last question."""
        if self._phase is _Phase.SILENCE:
            self._score = completeness

    def words_pending(self, expected_s: float) -> None:
        """Take in that the words up to this silence are being transcribed.

        Args:
            expected_s: seconds that this takes. The turn model is asked so that it answers by then, not before: it
                hears more with a longer silence, and most silences do not last.
        """
        self._words_pending = True
        self._next_ask_s = min(max(0.0, expected_s - self.config.ask_ahead_s), self.config.ask_latest_s)

    def words(self, more: More, *, question: bool = False) -> None:
        """Take in what the transcript so far says of what is to come.

        Args:
            more: whether more has to come.
            question: the words are a whole question, and who has asked waits for an answer.
        """
        self._more, self._question = more, question
        self._words_pending = False
        if not self._asked:
            self._next_ask_s = 0.0

    def overlap_words(self, meant: bool, *, known: bool = True, ended: bool = True) -> list[Decision]:
        """Take in what the words said over the reply amount to.

        Args:
            meant: an interruption; otherwise nothing (cough, "mhm", echo).
            known: the words are clear, or it is clear that there are none. Who speaks on without a clear word is taken
                to mean it in the end.
            ended: these are all the words; those of the rest may still say otherwise.
        """
        if self._phase not in (_Phase.OVERLAP, _Phase.OVERLAP_ENDED):
            return []
        if meant:
            ended = self._phase is _Phase.OVERLAP_ENDED
            decisions = [self._interrupt()]
            if ended:
                decisions.append(self._fall_silent())
            return decisions
        if self._phase is _Phase.OVERLAP:
            if known:
                self._give_up_s = max(self._give_up_s, self._next_words_s + self.config.cancel_s)
            return []
        if not ended:
            return []
        self._end_overlap()
        return [Decision.UNDUCK]

    def wait(self) -> float:
        """Seconds of silence after which the turn is taken as over, by the score and the words so far."""
        config, score = self.config, self._score
        if score is None:
            wait = config.unsure_wait_s
        elif score >= 0.5:
            wait = _between(score, 0.5, config.likely_wait_s, 0.9, config.complete_wait_s) + self._patience.seconds
        elif score >= 0.2:
            wait = _between(score, 0.2, config.unsure_wait_s, 0.5, config.likely_wait_s) + self._patience.seconds
        else:
            wait = _between(score, 0.0, config.incomplete_wait_s, 0.2, config.unsure_wait_s)
        if self._question:
            wait = min(wait, config.question_wait_s + self._patience.seconds)
        return max(wait, self._least_wait())

    def _least_wait(self) -> float:
        match self._more:
            case More.NO:
                return 0.0
            case More.PERHAPS:
                return self.config.unsure_wait_s
            case More.YES:
                return self.config.unfinished_wait_s
            case More.GROUP:
                return self.config.group_wait_s

    # What Morgan does --------------------------------------------------------------------------------------------

    def reply_audible(self, audible: bool, at: float) -> list[Decision]:
        """Say whether a reply is sounding; speech over it is an overlap, not a turn."""
        if audible:
            if self._reply_since is None:
                self._reply_since = at
            self._quiet_since = None
            return []
        self._reply_since = None
        self._quiet_since = at
        if self._phase in (_Phase.OVERLAP, _Phase.OVERLAP_ENDED):
            # The reply ended by itself while somebody spoke: what they say is a turn like any other.
            self._begin_turn()
            return [Decision.SPEECH_STARTED]
        return []

    def reply_level(self, level_db: float) -> None:
        """Say how loud the reply is now, dBFS, against which echo is judged."""
        self._reply_level_db = level_db

    def reopen(self) -> None:
        """The committed turn goes on: be as patient with this speaker as that pause would have needed."""
        self._patience.went_on(self.speech_began)
        self._committed_at = None

    def drop_turn(self, at: float) -> None:
        """The open turn held no words, or the user turned to typing: nothing is open and nothing sounds."""
        self._level.dropped()
        self._phase = _Phase.QUIET
        self._onset = 0.0
        self._paused = False
        self._reply_since = None
        self._quiet_since = at

    # The clock -----------------------------------------------------------------------------------------------

    def tick(self, at: float) -> list[Decision]:
        """Take in that time has passed; called at least every 50 ms while a call stands.

        Audio that has not come yet is no silence: time stands still, until so much is missing that the caller may be
        gone.
        """
        if self._phase is _Phase.QUIET:
            return self._idle(at)
        missing = 0.0 if self._heard_at is None else max(at - self._heard_at - UNHEARD_S, 0.0)
        heard = at - min(missing, self.config.missing_s)
        if self._phase is not _Phase.SILENCE:
            return self._hear_nothing(heard) if missing > self.config.missing_s else []
        silence = self.silence(heard)
        # A voice that has just come back decides by itself, within two windows, whether it goes on.
        if silence >= self.wait() and (not self._onset or missing > self.config.missing_s):
            return self._end_turn(at, silence)
        if silence >= self._next_ask_s and self._more not in (More.YES, More.GROUP):
            self._asked = True
            soonest = silence + self.config.ask_apart_s
            self._next_ask_s = next((again for again in self.config.ask_again_s if again >= soonest), math.inf)
            return [Decision.ASK]
        return []

    def end_now(self, at: float) -> list[Decision]:
        """The open turn is over because the client says so."""
        if not self.in_turn:
            return []
        self._words_pending = False
        return self._end_turn(at, self.silence(at))

    def _end_turn(self, at: float, silence: float) -> list[Decision]:
        if self._words_pending and silence < self.config.words_wait_s:
            hurried, self._hurried = self._hurried, True
            return [] if hurried else [Decision.HURRY]
        self._patience.committed(self.last_speech, self.wait())
        self._level.committed()
        self._committed_at, self._going_on_until = at, at + self.config.continuation_s
        self._phase = _Phase.QUIET
        self._onset = 0.0
        self._prompts = 0
        return [Decision.COMMIT]

    def _idle(self, at: float) -> list[Decision]:
        if self._quiet_since is None:
            if self._reply_since is None:
                self._quiet_since = at
            return []
        quiet = at - self._quiet_since
        config = self.config
        if config.idle_hangup_s and quiet >= config.idle_hangup_s:
            self._quiet_since = at
            return [Decision.IDLE_HANGUP]
        if config.idle_prompt_s and self._prompts < config.idle_prompts and quiet >= config.idle_prompt_s:
            self._prompts += 1
            return [Decision.IDLE_PROMPT]
        return []

    def _begin_turn(self) -> None:
        self._phase = _Phase.SPEECH
        self._loudest_db = -100.0
        self._level.begin()
        self._onset = 0.0
        self._score = None
        self._more, self._question = More.NO, False
        self._quiet_since = None

    def _interrupt(self) -> Decision:
        self._reply_since = None
        self._begin_turn()
        return Decision.INTERRUPT

    def _end_overlap(self) -> None:
        """It was nothing, or so it seems: soon after a commit it may have been the first word of more."""
        if self._committed_at is not None and self.continues_turn(self.speech_began):
            longest = self._committed_at + 2 * self.config.continuation_s
            self._going_on_until = min(self.last_speech + self.config.continuation_s, longest)
        self._phase = _Phase.QUIET
        self._onset = 0.0
        self._paused = False


def _between(x: float, x0: float, y0: float, x1: float, y1: float) -> float:
    """Linear between two points, flat beyond them."""
    part = min(1.0, max(0.0, (x - x0) / (x1 - x0)))
    return y0 + (y1 - y0) * part
