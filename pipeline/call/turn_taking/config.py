"""Settings of turn-taking: how patient and how easily interrupted Morgan is, and by which windows it hears."""

from dataclasses import dataclass

WINDOW_S = 0.032
"""Length of a voice activity window."""


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
        pre_roll_s: sound before the detected onset that belongs to it; voice detection is late by about that much.
        dip_db: sound that has dropped so far that it is at most this loud (dBFS) may have ended: the words so far are
            transcribed, since they may be all there will be.
        early_silence_s: silence after which transcription and generation start on suspicion.
        resume_s: speech in a pause that takes the turn up again.
        complete_wait_s: wait when the turn model is sure that the turn is over.
        likely_wait_s: wait when it is as likely as not.
        unsure_wait_s: wait when it leans to "not over", and when there is no score at all.
        incomplete_wait_s: wait when it is sure that the speaker goes on.
        question_wait_s: longest wait behind the words of a whole question.
        unfinished_wait_s: shortest wait when the words themselves ask for more ("my number is").
        group_wait_s: shortest wait when the words are digits or letters that cannot be all that was asked for.
        words_wait_s: longest wait for words that are being transcribed; no answer can sound before they are known.
        missing_s: audio that does not come, or was lost on its way, is not the user's silence for so long.
        ask_ahead_s: the turn model is asked so long before the words of the turn are expected,
        ask_latest_s: but no later than in a silence of this length.
        ask_again_s: silences at which it is asked again, unless the words decide,
        ask_apart_s: or it was asked less than this ago.
        patience_margin_s: when the speaker goes on after a commit, the short waits grow so far that a pause like that
            would have been waited out with this much to spare,
        patience_max_s: unless they would grow by more than this in all:
        patience_step_s: then they grow by this only, since nearly enough does not help.
        patience_kept: share of the growth that is left after a commit that stands.
        duck_s: speech over a reply after which the reply gets quieter.
        pause_s: speech over a reply after which it pauses.
        overlap_words_s: speech over a reply after which its words so far are looked at,
        overlap_again_s: and again after so much more.
        cancel_s: speech over a reply after which it is given up when no word of it is clear.
        overlap_end_s: silence that ends speech over a reply.
        echo_guard_s: time from the start of a reply in which its echo is guarded against.
        echo_margin_db: speech over a reply must be at most this much quieter than the reply, while guarded.
        unheard_s: speech that begins within so much of the sound of a reply does not answer it: it goes on
            with the turn.
        continuation_s: speech so soon after a commit continues the committed turn, and so does what follows it as soon
            again, up to twice as long after the commit.
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
    pre_roll_s: float = 0.3
    dip_db: float = -48.0
    early_silence_s: float = 0.064
    resume_s: float = 0.064
    complete_wait_s: float = 0.2
    likely_wait_s: float = 0.4
    unsure_wait_s: float = 1.0
    incomplete_wait_s: float = 2.2
    question_wait_s: float = 0.55
    unfinished_wait_s: float = 1.6
    group_wait_s: float = 1.8
    ask_ahead_s: float = 0.25
    ask_latest_s: float = 0.25
    ask_apart_s: float = 0.2
    ask_again_s: tuple[float, ...] = (0.3, 0.6, 1.0, 1.5)
    words_wait_s: float = 1.5
    missing_s: float = 2.5
    patience_margin_s: float = 0.1
    patience_max_s: float = 0.7
    patience_step_s: float = 0.06
    patience_kept: float = 0.5
    duck_s: float = 0.032
    pause_s: float = 0.16
    overlap_words_s: float = 0.5
    overlap_again_s: float = 0.35
    cancel_s: float = 2.0
    overlap_end_s: float = 0.1
    echo_guard_s: float = 1.0
    echo_margin_db: float = 18.0
    unheard_s: float = 0.7
    continuation_s: float = 2.0
    idle_prompt_s: float = 0.0
    idle_prompts: int = 1
    idle_hangup_s: float = 0.0
