"""Work that does not come: the user is told that it takes a moment, and after a time it is given up.

A turn never waits for ever, whichever engine hangs: first the words of the user (`Endpointing.excuse`), then those of
the language model (`ReplyWords.excuse`), then the sound are excused once they are late, and given up when an engine has
given no sign for much longer than it usually takes (`UsualTime`). The watchdog ends what none of this has.
"""

from pipeline.call.endpointing import Endpointing
from pipeline.call.reply.piece import Piece
from pipeline.call.reply.reply import Reply
from pipeline.call.reply_lifecycle import ReplyLifecycle
from pipeline.call.shared_state import SharedState
from pipeline.call.state import Phase, State
from pipeline.call.usual_time import SilentWait

QUESTION_S = 3.0
"""Of speech; so long is what speech to text is measured with."""


class Overdue:
    """Looks at what a call waits for.

    Args:
        floor: of the call.
        replying: gives up replies.
        ending: gives up turns.
    """

    def __init__(self, floor: SharedState, replying: ReplyLifecycle, ending: Endpointing) -> None:
        self._floor = floor
        self._listening, self._answering = floor.listening, floor.answering
        self._replying, self._ending = replying, ending
        self._words, self._sound = SilentWait(), SilentWait()

    def look(self, now: float) -> None:
        """Time has passed."""
        floor, watchdog = self._floor, self._floor.watchdog
        watchdog.excuse(self._answering.tools_answered_by)
        self._look_at_words(now)
        self._look_at_sound(now)
        if self._answering.awaits_words:
            return
        if floor.state is State.THINKING and watchdog.thought_too_long(now):
            floor.heal("no_reply")
            if not self._ending.give_up(now):
                self._replying.give_up_thinking(now)
        if floor.state is State.SPEAKING and watchdog.silent_too_long(
            now, dry=floor.playback.dry, limit_s=self._silence_limit_s()
        ):
            floor.heal("speaking_without_audio")
            self._replying.give_up_speaking(now)

    def _look_at_words(self, now: float) -> None:
        turn = self._listening.turn
        awaited = turn is not None and turn.awaits_words and turn.draft is not None
        if turn is None or turn.draft is None or not awaited:
            self._words.look(None, now)
            return
        size = turn.stretch_s(turn.draft.end) / QUESTION_S
        if self._words.look((turn.item_id, turn.draft.job), now) > self._listening.pace.usual.limit_s(size):
            self._ending.give_up(now)
        else:
            self._ending.excuse(now)

    def _look_at_sound(self, now: float) -> None:
        """The first sound of a reply; what is missing later is silence while it speaks."""
        reply = self._answering.reply
        piece = reply.silent_piece() if reply is not None and reply.released and not reply.sounded else None
        if reply is None or piece is None:
            self._sound.look(None, now)
        elif (
            self._sound.look((reply.reply_id, piece.index), now) > self._sound_limit_s(reply, piece)
            and not self._floor.call.phase.overlapped
        ):
            self._replying.give_up_voice(now)

    def _sound_limit_s(self, reply: Reply, piece: Piece) -> float:
        if reply.said is None and self._answering.voice_gave_up:
            return self._floor.watchdog.at_hand_s
        return reply.voice_time.limit_s(piece.size)

    def _silence_limit_s(self) -> float:
        """How long a reply that speaks may be silent, by who owes the rest of it."""
        reply, watchdog = self._answering.reply, self._floor.watchdog
        if reply is None or not reply.waiting:
            return watchdog.silence_limit_s
        if self._floor.call.phase is not Phase.SPEAKING:
            # Somebody speaks over it: what they say decides.
            return watchdog.think_limit_s
        piece = reply.silent_piece()
        if piece is None:
            return watchdog.starved_limit_s
        return reply.voice_time.limit_s(piece.size, watchdog.starved_least_s, watchdog.starved_limit_s)
