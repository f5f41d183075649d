"""One reply on its way from the language model to the user's ear.

Text comes in as it is generated, is cut into pieces, each piece is spoken, and the audio goes to the speaker in order:
not before the reply is released (the turn is committed), and never much further ahead of the playout than a few
seconds, so that an interruption wastes little.
"""

from pipeline.audio import SPEECH_RATE
from pipeline.call.effects import Effect, Synthesize
from pipeline.call.events import TokenUsage
from pipeline.call.reply.aside import Aside
from pipeline.call.reply.heard import HeardText
from pipeline.call.reply.piece import Piece
from pipeline.call.reply.playback import Playback
from pipeline.call.reply.written_sound import WrittenSound, level_db
from pipeline.call.usual_time import UsualTime
from pipeline.call.wish import AS_ALWAYS, ReplyWish
from pipeline.engines.protocols import SpeechChunk, Word
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.chunker import TextChunker
from pipeline.text.spoken import speak
from pipeline.text.words import SENTENCE_ENDS

HELD_S = 0.6
"""Most speech that is synthesised for a reply that may never be released."""

AHEAD_S = 3.0
"""Speech ahead of the playout beyond which no further piece is synthesised."""

DRY_S = 1.0
"""Speech ahead of the playout below which the next piece is urgent."""

TEXT_AHEAD_S = 6.0
"""Speech and text ahead of the playout beyond which the language model rests: what comes later may never be said."""

TEXT_AGAIN_S = 4.5
"""The same below which it goes on."""

TEXT_DRY_S = 2.0
"""The same below which its next words are urgent."""

HELD_TEXT_S = 1.5
"""Speech and text of a reply that may never be released beyond which the language model rests."""

CLAUSE_MARKS = (*SENTENCE_ENDS, *",;:，；：、،؛")


class Reply:
    """A reply being made and played.

    Args:
        reply_id: names it in every event.
        item_id: names its message in the conversation.
        answers: item id of the user's turn; None for a greeting or a prompt.
        said: the user's words that it answers; None likewise.
        voice: voice id, None for the default.
        speed: of speech, 1 is natural.
        language: of the text, ISO 639-1.
        ticket: of the generation.
        speaks: whether it is spoken; otherwise it is text, and makes no sound.
        wish: how it is to be.
        voice_time: how long the voice usually takes to its first sound.
        own_voice: the one whose sound of the call's own phrases is at hand.

    Attributes:
        awaits_words: the words that it answers are late; it has only said so.
        language: that its text is prepared in, ISO 639-1.
        usage: tokens so far; None while that is not known.
        cut_short: the language model stopped at its bound.
        sound: what was handed to the playout.
        end_by: it is to end with a clause, and from this monotonic time on with a word; None: it is not to end early.
    """

    def __init__(
        self,
        reply_id: str,
        item_id: str,
        *,
        answers: str | None,
        said: str | None,
        voice: str | None,
        speed: float,
        language: str,
        ticket: Ticket,
        speaks: bool = True,
        wish: ReplyWish = AS_ALWAYS,
        voice_time: UsualTime | None = None,
        own_voice: str | None = None,
    ) -> None:
        self.reply_id = reply_id
        self.item_id = item_id
        self.answers = answers
        self.said = said
        self.ticket = ticket
        self.awaits_words = False
        self.text = ""
        self.text_ended = False
        self.failed = False
        self.released = False
        self.audible = False
        self.speaks = speaks
        self.wish = wish
        self.usage: TokenUsage | None = None
        self.cut_short = False
        self.text_told = False
        self.finished = False
        self.first_text_at: float | None = None
        self.first_clause_at: float | None = None
        self.first_audio_at: float | None = None
        self.level_db = -100.0
        self.sound = WrittenSound()
        self.end_by: float | None = None
        self._end_at: int | None = None
        self._ends_with_word = False
        self.language = language
        self._voice, self._speed, self._own_voice = voice, speed, own_voice
        self._chunker = TextChunker(language)
        self._text_paused = False
        self._pieces: list[Piece] = []
        self._next_index = 0
        self._aside: Aside | None = None
        self.voice_time = voice_time or UsualTime(None)
        self._playing = 0
        self._heard = HeardText()

    @property
    def group(self) -> str:
        """Group of all work behind this reply."""
        return self.reply_id

    @property
    def waiting(self) -> bool:
        """Whether an engine still owes something."""
        return not self.text_ended or any(not piece.ended for piece in self._pieces)

    def tickets(self) -> list[Ticket]:
        """The tickets of all pieces."""
        return [piece.ticket for piece in self._pieces] + (self._aside.tickets() if self._aside is not None else [])

    def give_up(self) -> None:
        """Wait no longer for the voice where it owes something, else for the language model."""
        owed = [piece.ticket for piece in self._pieces if piece.awaited]
        for ticket in owed or ([] if self.text_ended else [self.ticket]):
            ticket.give_up()

    # Text -----------------------------------------------------------------------------------------------

    def add_text(self, text: str, now: float) -> None:
        """Take in the next characters of the reply."""
        if self._text_paused and text:
            self._text_paused, text = False, f" {text.lstrip()}"
        if self.first_text_at is None and text.strip():
            self.first_text_at = now
        self.text += text
        if self.speaks:
            self._add_pieces(self._chunker.push(text, now), now)

    def speak_in(self, voice: str | None, language: str) -> None:
        """Have what comes from now on said by another voice, in another language (ISO 639-1); behind `pause_text`."""
        self._voice, self.language = voice, language
        self._chunker = TextChunker(language)

    def pause_text(self, now: float) -> None:
        """Say what there is: more text comes, but not at once."""
        self._add_pieces(self._chunker.finish(), now)
        self._chunker = TextChunker(self.language)
        self._text_paused = bool(self.text.strip())

    def say_so_far(self, now: float) -> None:
        """Say what there is, were it half a word: what comes next may be long in coming."""
        self._add_pieces(self._chunker.finish(), now)

    def end_text(self, now: float, failed: bool = False) -> None:
        """Take in that no more text comes."""
        self.text_ended = True
        self.failed = self.failed or failed
        self._add_pieces(self._chunker.finish(), now)

    def count(self, usage: TokenUsage | None) -> None:
        """Take in what a round of the language model took."""
        if usage is not None:
            before = self.usage or TokenUsage(0, 0)
            self.usage = TokenUsage(before.prompt + usage.prompt, before.completion + usage.completion)

    def hurry(self, now: float) -> None:
        """Cut a piece at a word when the language model stalls in mid-clause."""
        if self.speaks and not self.text_ended and not self.ticket.resting:
            self._add_pieces(self._chunker.flush_if_older(now), now)

    def pace(self, playback: Playback, now: float) -> None:
        """Have the language model work as fast as what it says is heard: hurry, take its time, or rest."""
        if self.text_ended or self.first_clause_at is None:
            return
        ticket, covered = self.ticket, self._ahead_s(playback) + self._unspoken_s()
        dry = self.released and covered < TEXT_DRY_S
        ticket.urgency = Urgency.RUNNING_DRY if dry else Urgency.LOOK_AHEAD
        if not ticket.resting:
            ticket.resting = covered >= (TEXT_AHEAD_S if self.released else HELD_TEXT_S)
        elif self.released and covered < TEXT_AGAIN_S:
            self._chunker.go_on(now)
            ticket.resting = False

    def _unspoken_s(self) -> float:
        """About how long the pieces take to say for which there is no sound yet."""
        return sum(piece.unspoken_s(self._speed) for piece in self._pieces)

    def _add_pieces(self, sources: list[str], now: float) -> None:
        for source in sources:
            spoken = speak(source, self.language)
            piece = Piece(self._next_index, source, spoken, Ticket())
            self._next_index += 1
            if not spoken.text.strip():
                piece.requested = piece.ended = True
            elif self.first_clause_at is None:
                self.first_clause_at = now
            self._pieces.append(piece)

    # Audio -----------------------------------------------------------------------------------------------

    def add_audio(self, index: int, chunk: SpeechChunk, now: float) -> None:
        """Take in audio of a piece."""
        if index < 0 and self._aside is not None:
            self._aside.add_audio(index, chunk, self._pieces)
            self.level_db = max(self.level_db, level_db(chunk))
        piece = self._piece(index)
        if index < 0 or piece is None or piece.ended:
            return
        if self.first_audio_at is None and len(chunk.pcm):
            self.first_audio_at = now
        if self._aside is not None:
            self._aside.drop()
        if not piece.chunks and piece.asked_at is not None and self.said is not None:
            self.voice_time.took((now - piece.asked_at) / piece.size)
        piece.chunks.append(chunk)
        self.level_db = max(self.level_db, level_db(chunk))

    def end_piece(self, index: int, failed: bool = False) -> None:
        """Take in that a piece is spoken to its end."""
        if index < 0 and self._aside is not None:
            self._aside.end_piece(index)
        piece = self._piece(index)
        if index < 0 or piece is None:
            return
        piece.ended = True
        self.failed = self.failed or failed

    def _piece(self, index: int) -> Piece | None:
        return next((piece for piece in self._pieces if piece.index == index), None)

    def excuse(self, text: str, now: float) -> None:
        """Say something in front of it while there is no sound of it, if that can be had."""
        if self._aside is None:
            self._aside = Aside(text, self.language, now)

    def silent_piece(self) -> Piece | None:
        """The piece of the reply itself that the voice owes the rest of; None where it owes nothing."""
        return next((piece for piece in self._pieces if piece.index >= 0 and piece.awaited), None)

    @property
    def sounded(self) -> bool:
        """Whether there has been any sound of the reply itself."""
        return any(piece.chunks for piece in self._pieces if piece.index >= 0)

    def release(self) -> None:
        """Let the audio out: the user's turn is over."""
        self.released = True
        self.ticket.urgency = Urgency.FIRST_AUDIO
        for piece in self._pieces:
            if piece.awaited:
                piece.ticket.urgency = Urgency.FIRST_AUDIO

    def next_pieces(self, playback: Playback, now: float) -> list[Effect]:
        """The work that is worth starting now: at most one piece, by how much audio there is."""
        aside = self._aside.next_piece() if self._aside is not None else None
        if aside is not None:
            return [self._ask(aside, now)]
        if any(piece.awaited for piece in self._pieces):
            return []
        piece = next((piece for piece in self._pieces if not piece.requested), None)
        if piece is None:
            return []
        ahead = self._ahead_s(playback)
        if ahead >= (AHEAD_S if self.released else HELD_S):
            return []
        silent = not self.audible and not ahead
        piece.ticket.urgency = self._urgency(ahead)
        piece.ticket.deadline = self.ticket.deadline if silent else now + ahead
        return [self._ask(piece, now)]

    def _ask(self, piece: Piece, now: float) -> Synthesize:
        piece.requested, piece.asked_at = True, now
        voice, speed = (self._voice, self._speed) if piece.index >= 0 else (self._own_voice, 1.0)
        return Synthesize(self.reply_id, self.group, piece.index, piece.spoken.text, piece.ticket, voice, speed)

    def _urgency(self, ahead: float) -> Urgency:
        if not self.released:
            return Urgency.SPECULATION
        if not self.audible and not ahead:
            return Urgency.FIRST_AUDIO
        return Urgency.RUNNING_DRY if ahead < DRY_S else Urgency.LOOK_AHEAD

    def _ahead_s(self, playback: Playback) -> float:
        held = sum(len(chunk.pcm) for piece in self._pieces for chunk in piece.chunks[piece.written :])
        queued = playback.waiting if self.released else 0
        return (held + queued) / SPEECH_RATE

    def play(self, playback: Playback) -> bool:
        """Write what may be written, in order; True when that was the first audio of the reply."""
        if not self.released:
            return False
        before = any(piece.written for piece in self._pieces)
        while self._playing < len(self._pieces):
            piece = self._pieces[self._playing]
            for chunk in piece.chunks[piece.written :]:
                self._note_written(piece, chunk, playback.write(chunk.pcm))
                piece.written += 1
            if not piece.ended:
                break
            self._playing += 1
        urgency = self._urgency(self._ahead_s(playback))
        for piece in self._pieces[self._playing :]:
            if piece.awaited:
                piece.ticket.urgency = urgency
        if self.text_ended and self._playing == len(self._pieces) and not self.finished:
            self.finished = True
            if self.speaks:
                playback.finish()
        return not before and any(piece.written for piece in self._pieces)

    # What was heard -----------------------------------------------------------------------------------------------

    def heard(self, position: int) -> str:
        """The words whose audio had gone out at a position of the speaker."""
        return self._heard.heard(position)

    def word_start(self, position: int) -> int:
        """Position of the first sample of the word under way at a position of the speaker."""
        return self._heard.word_start(position)

    def ends_at(self, position: int, now: float) -> int | None:
        """Position at which it ends that is to end early; None while that is not known, or it is not to.

        Args:
            position: of the speaker, where the sound would end if it were cut now.
            now: monotonic time.
        """
        if self.end_by is None or not self.audible:
            return None
        if self._end_at is None:
            self._end_at = self._clause_end(position)
        if now >= self.end_by and not self._ends_with_word:
            self._ends_with_word = True
            word_end = self._heard.word_end(position)
            self._end_at = word_end if self._end_at is None else min(self._end_at, word_end)
        return self._end_at

    def _clause_end(self, position: int) -> int | None:
        """Position at which the clause ends that is under way; None while not all of its sound is there.

        The first piece of a reply may end anywhere; a clause ends with a mark.
        """
        for piece in self._pieces:
            if not piece.ended or piece.start is None:
                break
            end = piece.start + sum(len(chunk.pcm) for chunk in piece.chunks)
            if end > position and piece.source.rstrip().endswith(CLAUSE_MARKS):
                return end
        return None

    def heard_text(self) -> HeardText:
        """A copy of what there is to know of where its words lie."""
        return self._heard.copy()

    def lead_s(self) -> float:
        """Seconds from the first frame of the reply to the first that can be heard."""
        return self.sound.lead_s(self.start_position() or 0)

    def start_position(self) -> int | None:
        """Position of the first sample of the reply, None before there is one."""
        return next((piece.start for piece in self._pieces if piece.start is not None), None)

    def _note_written(self, piece: Piece, chunk: SpeechChunk, at: int) -> None:
        """Remember where the words of a chunk lie, and its sound."""
        self.sound.write(at, chunk.pcm)
        if piece.start is None:
            piece.start = at
            self._heard.append_piece(piece.source, piece.spoken, at)
        offset = (at - piece.start) / SPEECH_RATE
        words = [Word(word.text, offset + word.start, offset + word.end) for word in chunk.words]
        self._heard.extend_piece(words, offset + len(chunk.pcm) / SPEECH_RATE)
