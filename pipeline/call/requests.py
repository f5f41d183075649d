"""Requests of a client, or the server, to a call: other options, a turn that ends now, a reply or its end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.audio import HEARING_RATE
from pipeline.call.context import Entry
from pipeline.call.effects import Cancel
from pipeline.call.endpointing import Endpointing
from pipeline.call.events import TurnCommitted, TurnDropped
from pipeline.call.inputs import ClientRequest
from pipeline.call.reply_lifecycle import ReplyLifecycle
from pipeline.call.shared_state import SharedState
from pipeline.call.state import State
from pipeline.call.wish import ReplyWish
from pipeline.text.phrases import PhraseName


@dataclass(frozen=True, slots=True)
class OptionsChanged(ClientRequest):
    """From now on the call has other options: fields of `CallOptions` by name."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CommitAudio(ClientRequest):
    """What was heard since the last turn is a turn, which ends now."""


@dataclass(frozen=True, slots=True)
class ClearAudio(ClientRequest):
    """What was heard since the last turn does not count."""


@dataclass(frozen=True, slots=True)
class Respond(ClientRequest):
    """Reply now, or once the words of the turn in hand are known."""

    wish: ReplyWish


@dataclass(frozen=True, slots=True)
class InsertEntry(ClientRequest):
    """Something was said, or is to count as said.

    Attributes:
        entry: what.
        after: item id of what it follows; None for the end, "" for the beginning.
        kept: it is new and belongs into memory; otherwise it was said before this call.
    """

    entry: Entry
    after: str | None = None
    kept: bool = True


@dataclass(frozen=True, slots=True)
class RemoveEntry(ClientRequest):
    """Something is to count as never said."""

    item_id: str


@dataclass(frozen=True, slots=True)
class TruncateReply(ClientRequest):
    """Of a reply's audio only so much was heard; ends it if it still goes on."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class SayText(ClientRequest):
    """Say a text as it is, if nobody is speaking."""

    text: str


@dataclass(frozen=True, slots=True)
class SayPhrase(ClientRequest):
    """Say one of Morgan's own phrases in the language of the call, if nobody is speaking."""

    name: PhraseName


@dataclass(frozen=True, slots=True)
class EndReply(ClientRequest):
    """The reply in hand ends with the clause that is being said, and after a time with the word.

    Attributes:
        by: monotonic time from which a word is enough.
    """

    by: float


@dataclass(frozen=True, slots=True)
class ApproveTool(ClientRequest):
    """The client has decided on what a tool is asked (`pipeline.call.events.ApprovalAsked`).

    Attributes:
        item_id: of the request.
        approved: the tool may do it.
        reason: for the model, where it may not.
    """

    item_id: str
    approved: bool
    reason: str = ""


class Requests:
    """Applies what the client asks for.

    Args:
        floor: of the call.
        replying: Morgan's half.
        ending: of the user's turns.

    Attributes:
        buffered_from: first sample of the user's audio that belongs to no turn yet.
    """

    def __init__(self, floor: SharedState, replying: ReplyLifecycle, ending: Endpointing) -> None:
        self._floor = floor
        self._replying = replying
        self._ending = ending
        self.buffered_from = 0

    @property
    def buffered_ms(self) -> int:
        """Length of the audio that `CommitAudio` would make a turn of."""
        listening, turn = self._floor.listening, self._floor.listening.turn
        begin = self.buffered_from
        if turn is not None and turn.committed and not turn.typed and turn.draft is not None:
            begin = max(begin, turn.draft.end)
        return max(0, listening.sound.end - begin) * 1000 // HEARING_RATE

    @property
    def in_turn(self) -> bool:
        """Whether the user is in the middle of a turn that was found in the sound."""
        return self._floor.state is State.USER_SPEAKING

    @property
    def language(self) -> str:
        """The language that the call is in, or most likely so, ISO 639-1."""
        return self._floor.listening.language

    def audio_ms(self, item_id: str) -> int:
        """Length of the audio of a reply that went out, 0 where that is not known."""
        return self._floor.answering.audio_ms(item_id)

    def apply(self, request: ClientRequest, now: float) -> None:
        """Do what is asked."""
        match request:
            case OptionsChanged():
                self._change(request.changes, now)
            case CommitAudio():
                self._commit(now)
            case ClearAudio():
                self._clear(now)
            case Respond():
                self._replying.wish(request.wish, now)
            case InsertEntry():
                self._insert(request)
            case RemoveEntry():
                self._floor.context.remove(request.item_id)
            case SayText():
                self._replying.say(request.text, now)
            case SayPhrase():
                self._replying.say_phrase(request.name, now)
            case EndReply():
                self._floor.answering.end_by(request.by)
            case TruncateReply():
                self._replying.truncate(request.item_id, request.audio_end_ms, now)
            case ApproveTool():
                self._replying.approve(request.item_id, request.approved, request.reason, now)

    def _change(self, changes: Mapping[str, Any], now: float) -> None:
        floor, options = self._floor, self._floor.options
        heard_turns = options.hears_turns
        for name, value in changes.items():
            setattr(options, name, value)
        floor.turns.configure(options.turn_taking)
        floor.voices.choose(options.voice)
        floor.listening.call_language.force(options.language)
        if "instructions" in changes:
            floor.context.instruct(options.instructions)
        if heard_turns is not options.hears_turns:
            self._clear(now)
        floor.answering.discard()

    def _commit(self, now: float) -> None:
        floor = self._floor
        if floor.state is State.USER_SPEAKING:
            floor.decide(floor.turns.end_now(now), now)
        elif self.buffered_ms:
            begin = floor.listening.sound.end - self.buffered_ms * HEARING_RATE // 1000
            floor.listening.begin_at(begin, now)
            floor.turns.last_speech = now
            self._ending.commit(now, by_client=True)
        self.buffered_from = floor.listening.sound.end

    def _clear(self, now: float) -> None:
        floor = self._floor
        turn = floor.listening.turn
        if floor.state is State.USER_SPEAKING and turn is not None and not turn.committed:
            floor.out.do(Cancel(turn.group))
            floor.out.emit(TurnDropped(turn.item_id))
            floor.turns.drop_turn(now)
            floor.answering.discard()
            self._ending.given_up(now)
        self.buffered_from = floor.listening.sound.end

    def _insert(self, request: InsertEntry) -> None:
        entry, context = request.entry, self._floor.context
        previous = context.last_id
        context.insert(entry, request.after)
        if request.kept and entry.role == "user":
            self._floor.out.emit(TurnCommitted(entry.item_id, previous, typed=entry.written))
