"""When to speak and when to listen: a pure policy over voice activity, turn scores and the clock.

`TurnTaking` is told what is heard (`hear`, once per 32 ms window), what the turn model thinks (`score`), what the words
look like (`words`), and whether Morgan is audible (`reply_audible`); it returns decisions. It owns no clock: every
method takes `at`, monotonic seconds. Waits count from the last speech, so the time that models take lies inside of
them, not on top.
"""

import enum
from dataclasses import dataclass

WINDOW_S = 0.032
"""Length of a voice activity window."""

FLOOR_RISE_DB = 0.1
"""By how much the idea of the background rises with each window (3 dB/s), until a quieter one brings it down."""


@dataclass(frozen=True, slots=True)
class TurnTakingConfig:
    """How patient and how easily interrupted Morgan is. All times in seconds.

    Attributes:
        speech_threshold: voice probability from which silence turns into speech.
        silence_threshold: voice probability below which speech turns into silence.
        echo_threshold: voice probability that counts while Morgan's own echo is likely.
        drop_db: sound that far below the loudest of the turn, and near the background, is silence at once; voice
            activity falls only about 100 ms after the last sound.
        near_floor_db: "near the background" is at most this much above it,
        silent_db: or at most this loud (dBFS), however quiet the background was before.
        onset_s: speech that begins a turn.
        early_silence_s: silence after which transcription and generation start on suspicion.
        resume_s: speech in a pause that takes the turn up again.
        complete_wait_s: wait when the turn model is sure that the turn is over.
        likely_wait_s: wait when it is as likely as not.
        unsure_wait_s: wait when it leans to "not over", and when there is no score at all.
        incomplete_wait_s: wait when it is sure that the speaker goes on.
        unfinished_wait_s: shortest wait when the words themselves ask for more ("my number is").
        words_wait_s: longest wait for words that are being transcribed; no answer can sound before they are known.
        ask_again_s: silences at which the turn model is asked again.
        patience_margin_s: when the speaker goes on after a commit, the short waits grow so far that a pause like that
            would have been waited out with this much to spare,
        patience_max_s: unless they would grow by more than this in all:
        patience_step_s: then they grow by this only, since nearly enough helps nobody.
        patience_kept: share of the growth that is left after a commit that stands.
        duck_s: speech over a reply after which the reply gets quieter.
        pause_s: speech over a reply after which it pauses.
        cancel_s: speech over a reply after which it is given up, whatever the words.
        overlap_end_s: silence that ends speech over a reply.
        echo_guard_s: time from the start of a reply in which its echo is guarded against.
        echo_margin_db: speech over a reply must be at most this much quieter than the reply, while guarded.
        continuation_s: speech so soon after a commit continues the committed turn.
        idle_prompt_s: silence of both sides after which the user is asked whether they are there; 0 is never.
        idle_prompts: how often.
        idle_hangup_s: silence of both sides after which the call ends; 0 is never.
    """

    speech_threshold: float = 0.5
    silence_threshold: float = 0.35
    echo_threshold: float = 0.8
    drop_db: float = 25.0
    near_floor_db: float = 9.0
    silent_db: float = -55.0
    onset_s: float = 0.064
    early_silence_s: float = 0.064
    resume_s: float = 0.064
    complete_wait_s: float = 0.2
    likely_wait_s: float = 0.4
    unsure_wait_s: float = 1.0
    incomplete_wait_s: float = 2.2
    unfinished_wait_s: float = 1.6
    ask_again_s: tuple[float, ...] = (0.3, 0.6, 1.0, 1.5)
    words_wait_s: float = 0.4
    patience_margin_s: float = 0.1
    patience_max_s: float = 0.7
    patience_step_s: float = 0.06
    patience_kept: float = 0.5
    duck_s: float = 0.064
    pause_s: float = 0.16
    cancel_s: float = 0.7
    overlap_end_s: float = 0.16
    echo_guard_s: float = 1.0
    echo_margin_db: float = 18.0
    continuation_s: float = 2.0
    idle_prompt_s: float = 0.0
    idle_prompts: int = 1
    idle_hangup_s: float = 0.0


class Decision(enum.Enum):
    """What the policy wants done."""

    SPEECH_STARTED = "speech_started"
    """A turn begins."""
    EARLY_SILENCE = "early_silence"
    """The turn may be over: start to work on it, and ask the turn model."""
    ASK_AGAIN = "ask_again"
    """Ask the turn model once more, with the longer silence."""
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
        self._unfinished = False
        self._words_pending = False
        self._hurried = False
        self._asked = 0
        self._patience = 0.0
        self._paused = False
        self._loudest_db = -100.0
        self._floor_db = 0.0
        self._reply_since: float | None = None
        self._reply_level_db = -100.0
        self._committed_at: float | None = None
        self._committed_wait = 0.0
        self._voice_run = 0
        self._pause_ended: float | None = None
        self._committed_speech = 0.0
        self._quiet_since: float | None = None
        self._prompts = 0

    @property
    def in_turn(self) -> bool:
        """Whether a turn is open: begun and not committed."""
        return self._phase in (_Phase.SPEECH, _Phase.SILENCE)

    @property
    def silent(self) -> bool:
        """Whether the open turn is in a pause."""
        return self._phase is _Phase.SILENCE

    def silence(self, at: float) -> float:
        """Seconds since the last speech."""
        return at - self.last_speech

    def continues_turn(self, at: float) -> bool:
        """Whether speech that began now would belong to the turn committed last."""
        return self._committed_at is not None and at - self._committed_at < self.config.continuation_s

    # What is heard -----------------------------------------------------------------------------------------------

    def hear(self, probability: float, at: float, level_db: float = 0.0) -> list[Decision]:
        """Take in a window.

        Args:
            probability: of voice, 0 to 1.
            at: monotonic time of the window's last sample.
            level_db: loudness of the loudest part of the window, dBFS.
        """
        self._loudest_db = max(self._loudest_db, level_db)
        self._floor_db = min(level_db, self._floor_db + FLOOR_RISE_DB)
        self._note_going_on(probability, at)
        match self._phase:
            case _Phase.QUIET:
                return self._hear_quiet(probability, at, level_db)
            case _Phase.SPEECH:
                return self._hear_speech(probability, at, level_db)
            case _Phase.SILENCE:
                return self._hear_silence(probability, at, level_db)
            case _:
                return self._hear_overlap(probability, at, level_db)

    def _note_going_on(self, probability: float, at: float) -> None:
        """Note the first voice after a commit. The guard against echo may take it for speech only later."""
        self._voice_run = self._voice_run + 1 if probability >= self.config.speech_threshold else 0
        if self._pause_ended is None and self._voice_run * WINDOW_S >= self.config.onset_s - 1e-6:
            self._pause_ended = at - self._voice_run * WINDOW_S

    def _is_voice(self, probability: float, at: float, level_db: float) -> bool:
        since = self._reply_since
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
            return [Decision.DUCK, *self._overlap_pause(at)]
        self._begin_turn()
        return [Decision.SPEECH_STARTED]

    def _hear_speech(self, probability: float, at: float, level_db: float) -> list[Decision]:
        if probability >= self.config.silence_threshold and not self._fell_silent(level_db):
            self.last_speech = at
            return []
        if self.silence(at) < self.config.early_silence_s - 1e-6:
            return []
        self._phase = _Phase.SILENCE
        self._onset = 0.0
        self._score = None
        self._words_pending = self._hurried = False
        self._asked = 0
        return [Decision.EARLY_SILENCE]

    def _hear_silence(self, probability: float, at: float, level_db: float) -> list[Decision]:
        if probability < self.config.speech_threshold or self._fell_silent(level_db):
            self._onset = 0.0
            return self.tick(at)
        self._onset += WINDOW_S
        if self._onset < self.config.resume_s - 1e-6:
            return []
        self.last_speech = at
        self._phase = _Phase.SPEECH
        self._unfinished = False
        return [Decision.SPEECH_RESUMED]

    def _hear_overlap(self, probability: float, at: float, level_db: float) -> list[Decision]:
        if self._is_voice(probability, at, level_db):
            self.last_speech = at
            self._phase = _Phase.OVERLAP
            if at - self.speech_began >= self.config.cancel_s:
                return [self._interrupt()]
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

    def words_pending(self) -> None:
        """Take in that the words up to this silence are being transcribed."""
        self._words_pending = True

    def words(self, expects_more: bool) -> None:
        """Take in whether the transcript so far asks for more."""
        self._unfinished = expects_more
        self._words_pending = False

    def overlap_words(self, meant: bool) -> list[Decision]:
        """Take in what the words said over the reply amount to: an interruption, or nothing (cough, "mhm", echo)."""
        if self._phase not in (_Phase.OVERLAP, _Phase.OVERLAP_ENDED):
            return []
        if meant:
            ended = self._phase is _Phase.OVERLAP_ENDED
            decisions = [self._interrupt()]
            if ended:
                self._phase = _Phase.SILENCE
                self._onset = 0.0
                decisions.append(Decision.EARLY_SILENCE)
            return decisions
        if self._phase is _Phase.OVERLAP:
            return []
        self._end_overlap()
        return [Decision.UNDUCK]

    def wait(self) -> float:
        """Seconds of silence after which the turn is taken as over, by the score and the words so far."""
        config, score = self.config, self._score
        if score is None:
            wait = config.unsure_wait_s
        elif score >= 0.5:
            wait = _between(score, 0.5, config.likely_wait_s, 0.9, config.complete_wait_s) + self._patience
        elif score >= 0.2:
            wait = _between(score, 0.2, config.unsure_wait_s, 0.5, config.likely_wait_s) + self._patience
        else:
            wait = _between(score, 0.0, config.incomplete_wait_s, 0.2, config.unsure_wait_s)
        return max(wait, config.unfinished_wait_s) if self._unfinished else wait

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
        config = self.config
        pause = (self.speech_began if self._pause_ended is None else self._pause_ended) - self._committed_speech
        patience = self._patience + pause + config.patience_margin_s - self._committed_wait
        least = min(self._patience + config.patience_step_s, config.patience_max_s)
        self._patience = max(least, patience) if patience <= config.patience_max_s else least
        self._committed_at = None

    def drop_turn(self, at: float) -> None:
        """The open turn held no words, or the user turned to typing: nothing is open and nothing sounds."""
        self._phase = _Phase.QUIET
        self._onset = 0.0
        self._paused = False
        self._reply_since = None
        self._quiet_since = at

    # The clock -----------------------------------------------------------------------------------------------

    def tick(self, at: float) -> list[Decision]:
        """Take in that time has passed; called at least every 50 ms while a call stands."""
        if self._phase is _Phase.QUIET:
            return self._idle(at)
        if self._phase is not _Phase.SILENCE:
            return []
        silence = self.silence(at)
        # A voice that has just come back decides by itself, within two windows, whether it goes on.
        if silence >= self.wait() and not self._onset:
            return self._end_turn(at)
        asks = self.config.ask_again_s
        if self._asked < len(asks) and silence >= asks[self._asked]:
            self._asked += 1
            return [Decision.ASK_AGAIN]
        return []

    def _end_turn(self, at: float) -> list[Decision]:
        if self._words_pending and self.silence(at) < self.config.words_wait_s:
            hurried, self._hurried = self._hurried, True
            return [] if hurried else [Decision.HURRY]
        if self._committed_at is not None:
            # Nobody went on after the commit before this one.
            self._patience *= self.config.patience_kept
        self._committed_at, self._committed_speech, self._committed_wait = at, self.last_speech, self.wait()
        self._voice_run, self._pause_ended = 0, None
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
        self._onset = 0.0
        self._score = None
        self._unfinished = False
        self._quiet_since = None

    def _interrupt(self) -> Decision:
        self._reply_since = None
        self._begin_turn()
        return Decision.INTERRUPT

    def _end_overlap(self) -> None:
        self._phase = _Phase.QUIET
        self._onset = 0.0
        self._paused = False


def _between(x: float, x0: float, y0: float, x1: float, y1: float) -> float:
    """Linear between two points, flat beyond them."""
    part = min(1.0, max(0.0, (x - x0) / (x1 - x0)))
    return y0 + (y1 - y0) * part
