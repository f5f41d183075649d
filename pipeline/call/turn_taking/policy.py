"""The turn-taking policy, when to speak and when to listen: pure, over voice activity, scores and the clock.

`TurnTaking` is told what is heard (`hear`, once per 32 ms window), what the turn model thinks (`score`), what the words
look like (`evidence.words`), and when Morgan is audible (`reply_began`, `reply_over`); it returns decisions. It owns no
clock: every method takes `at`, monotonic seconds. Waits count from the last speech, so the time that models take lies
inside of them, not on top.
"""

from pipeline.call.state import CallPhase, Phase, State
from pipeline.call.turn_taking.adaptive_wait import AdaptiveWait
from pipeline.call.turn_taking.config import WINDOW_S, TurnTakingConfig
from pipeline.call.turn_taking.decisions import Decision
from pipeline.call.turn_taking.speaker_level import SpeakerLevel
from pipeline.call.turn_taking.turn_evidence import TurnEvidence

FLOOR_RISE_DB = 0.1
"""By how much the idea of the background rises with each window (3 dB/s), until a quieter one brings it down."""

UNHEARD_S = 0.1
"""Audio is always late by a little; what has not come by so much later is missing."""


class TurnTaking:
    """The policy of one call.

    Args:
        config: how patient and how easily interrupted it is.
        call: what the call is doing; the machine that carries out the decisions changes it, at once and in their order.

    Attributes:
        evidence: what the turn model and the words say of the silence in hand.
        last_speech: monotonic time of the end of the last window with speech.
        speech_began: monotonic time of the start of the first window of the speech in hand.
    """

    def __init__(self, config: TurnTakingConfig | None = None, call: CallPhase | None = None) -> None:
        self.config = config or TurnTakingConfig()
        self._call = call or CallPhase(Phase.LISTENING)
        self.last_speech = 0.0
        self.speech_began = 0.0
        self._onset = 0.0
        self._dipped_at: float | None = None
        self._patience = AdaptiveWait(self.config)
        self.evidence = TurnEvidence(self.config, self._patience)
        self._level = SpeakerLevel()
        self._next_words_s = self._give_up_s = 0.0
        self._loudest_db = -100.0
        self._floor_db = 0.0
        self._reply_since = 0.0
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
            self.evidence.configure(config)

    @property
    def _phase(self) -> Phase:
        return self._call.phase

    @property
    def _sounding(self) -> bool:
        return self._phase.state is State.SPEAKING

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
        unheard = self.speech_began - self._reply_since < self.config.unheard_s
        return self._sounding and unheard and self.continues_turn(self.speech_began)

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
            case Phase.USER_SPEAKING:
                dip = self._dip(level_db if tail_db is None else tail_db, at)
                return self._hear_speech(probability, at, level_db) or dip
            case Phase.USER_PAUSING:
                return self._hear_silence(probability, at, level_db)
            case Phase.DUCKED | Phase.PAUSED | Phase.WEIGHING:
                return self._hear_overlap(probability, at, level_db)
            case _:
                return self._hear_quiet(probability, at, level_db)

    def miss(self, at: float) -> list[Decision]:
        """Take in a window that was lost: for `missing_s` the time in it does not pass.

        Args:
            at: monotonic time of the window's last sample.
        """
        self._heard_at = at
        self._missing_s += WINDOW_S
        if self._missing_s <= self.config.missing_s and not self._phase.quiet:
            self.last_speech += WINDOW_S
            return []
        return self._hear_nothing(at)

    def _hear_nothing(self, at: float) -> list[Decision]:
        """Silence of which nothing is known."""
        match self._phase:
            case Phase.USER_SPEAKING:
                return self._hear_speech(0.0, at, self._loudest_db)
            case Phase.USER_PAUSING:
                return self.tick(at)
            case Phase.DUCKED | Phase.PAUSED | Phase.WEIGHING:
                return self._hear_overlap(0.0, at, self._loudest_db)
            case _:
                return self._idle(at)

    def _is_voice(self, probability: float, at: float, level_db: float) -> bool:
        begun = self._phase in (Phase.DUCKED, Phase.PAUSED) or self._onset > 0
        if self._sounding and self._level.too_far(begun):
            return False
        if self._sounding and at - self._reply_since < self.config.echo_guard_s:
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
        needed = self.config.duck_s if self._sounding else self.config.onset_s
        if self._onset < needed - 1e-6:
            return []
        self.last_speech = at
        self._quiet_since = None
        if self._sounding:
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
        self._onset = 0.0
        self.evidence.silence_began()
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
        self.evidence.speech_resumed()
        return [Decision.SPEECH_RESUMED]

    def _hear_overlap(self, probability: float, at: float, level_db: float) -> list[Decision]:
        if self._is_voice(probability, at, level_db):
            self.last_speech = at
            again = [Decision.OVERLAP_RESUMED] if self._phase is Phase.WEIGHING else []
            spoken = at - self.speech_began
            if spoken >= self._give_up_s:
                return [*again, self._interrupt()]
            if self._phase is Phase.DUCKED:
                return self._overlap_pause(at)
            if spoken < self._next_words_s:
                return again
            self._next_words_s = spoken + self.config.overlap_again_s
            return [*again, Decision.OVERLAP_WORDS]
        if self._phase is Phase.WEIGHING or self.silence(at) < self.config.overlap_end_s - 1e-6:
            return []
        if self._phase is Phase.PAUSED:
            return [Decision.OVERLAP_ENDED]
        self._end_overlap()
        return [Decision.UNDUCK]

    def _overlap_pause(self, at: float) -> list[Decision]:
        """A reply that answers a turn of a moment ago stops at once: the user is simply going on."""
        lasted = at - self.speech_began >= self.config.pause_s
        return [Decision.PAUSE] if lasted or self.continues_turn(at) else []

    # What the models say -----------------------------------------------------------------------------------------

    def score(self, completeness: float) -> None:
        """Take in the turn model's answer to the last question."""
        if self._phase is Phase.USER_PAUSING:
            self.evidence.score(completeness)

    def overlap_words(self, meant: bool, *, known: bool = True, ended: bool = True) -> list[Decision]:
        """Take in what the words said over the reply amount to.

        Args:
            meant: an interruption; otherwise nothing (cough, "mhm", echo).
            known: the words are clear, or it is clear that there are none. Who speaks on without a clear word is taken
                to mean it in the end.
            ended: these are all the words; those of the rest may still say otherwise.
        """
        if not self._phase.overlapped:
            return []
        weighing = self._phase is Phase.WEIGHING
        if meant:
            return [self._interrupt(), self._fall_silent()] if weighing else [self._interrupt()]
        if not weighing:
            if known:
                self._give_up_s = max(self._give_up_s, self._next_words_s + self.config.cancel_s)
            return []
        if not ended:
            return []
        self._end_overlap()
        return [Decision.UNDUCK]

    # What Morgan does --------------------------------------------------------------------------------------------

    def reply_began(self, level_db: float, at: float) -> None:
        """Say that a reply sounds from now on; speech over it is an overlap, not a turn.

        Args:
            level_db: how loud it is, dBFS, against which its echo is judged.
            at: monotonic time.
        """
        self._reply_since, self._reply_level_db = at, level_db
        self._quiet_since = None

    def reply_over(self, at: float) -> list[Decision]:
        """Say that the reply that sounds, or should have, does so no longer; before the state says so."""
        self._quiet_since = at
        if self._phase.overlapped:
            # The reply ended by itself while somebody spoke: what they say is a turn like any other.
            self._begin_turn()
            return [Decision.SPEECH_STARTED]
        return []

    def reopen(self) -> None:
        """The committed turn goes on: be as patient with this speaker as that pause would have needed."""
        self._patience.went_on(self.speech_began)
        self._committed_at = None

    def drop_turn(self, at: float) -> None:
        """The open turn held no words, or the user turned to typing: nothing is open and nothing sounds."""
        self._level.dropped()
        self._onset = 0.0
        self._quiet_since = at

    # The clock -----------------------------------------------------------------------------------------------

    def tick(self, at: float) -> list[Decision]:
        """Take in that time has passed; called at least every 50 ms while a call stands.

        Audio that has not come yet is no silence: time stands still, until so much is missing that the caller may be
        gone.
        """
        if self._phase.quiet:
            return self._idle(at)
        missing = 0.0 if self._heard_at is None else max(at - self._heard_at - UNHEARD_S, 0.0)
        heard = at - min(missing, self.config.missing_s)
        if self._phase is not Phase.USER_PAUSING:
            return self._hear_nothing(heard) if missing > self.config.missing_s else []
        silence = self.silence(heard)
        # A voice that has just come back decides by itself, within two windows, whether it goes on.
        if silence >= self.evidence.wait() and (not self._onset or missing > self.config.missing_s):
            return self._end_turn(at, silence)
        return [Decision.ASK] if self.evidence.ask(silence) else []

    def end_now(self, at: float) -> list[Decision]:
        """The open turn is over because the client says so."""
        if self._call.phase not in (Phase.USER_SPEAKING, Phase.USER_PAUSING):
            return []
        self.evidence.await_no_words()
        return self._end_turn(at, self.silence(at))

    def _end_turn(self, at: float, silence: float) -> list[Decision]:
        if self.evidence.awaits_words(silence):
            return [Decision.HURRY] if self.evidence.hurry() else []
        self._patience.committed(self.last_speech, self.evidence.wait())
        self._level.committed()
        self._committed_at, self._going_on_until = at, at + self.config.continuation_s
        self._onset = 0.0
        self._prompts = 0
        return [Decision.COMMIT]

    def _idle(self, at: float) -> list[Decision]:
        if self._quiet_since is None:
            if not self._sounding:
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
        self._loudest_db = -100.0
        self._level.begin()
        self._onset = 0.0
        self.evidence.turn_began()
        self._quiet_since = None

    def _interrupt(self) -> Decision:
        self._begin_turn()
        return Decision.INTERRUPT

    def _end_overlap(self) -> None:
        """It was nothing, or so it seems: soon after a commit it may have been the first word of more."""
        if self._committed_at is not None and self.continues_turn(self.speech_began):
            longest = self._committed_at + 2 * self.config.continuation_s
            self._going_on_until = min(self.last_speech + self.config.continuation_s, longest)
        self._onset = 0.0
