"""An excuse that is said in front of a reply whose sound is late, if its own sound comes sooner.

The words are the call's own, whose sound is at hand as a rule; a voice that says nothing would not say them either.
"""

from pipeline.call.reply.piece import Piece
from pipeline.engines.protocols import SpeechChunk
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.chunker import TextChunker
from pipeline.text.spoken import speak


class Aside:
    """Of one reply. Its pieces have negative indexes, so that they are told from those of the reply.

    Args:
        text: what is said.
        language: that it is in, ISO 639-1.
        now: monotonic time.
    """

    def __init__(self, text: str, language: str, now: float) -> None:
        chunker = TextChunker(language)
        sources = [*chunker.push(text, now), *chunker.finish()]
        spoken = [(source, speak(source, language)) for source in sources]
        self._pieces = [
            Piece(-1 - number, source, said, Ticket(Urgency.FIRST_AUDIO, now))
            for number, (source, said) in enumerate(spoken)
            if said.text.strip()
        ]
        self._sounding = 0

    def next_piece(self) -> Piece | None:
        """The piece that the voice is to be asked for now."""
        if any(piece.awaited for piece in self._pieces):
            return None
        return next((piece for piece in self._pieces if not piece.requested), None)

    def add_audio(self, index: int, chunk: SpeechChunk, pieces: list[Piece]) -> None:
        """Take in sound of one of its pieces, which then stands in front of those of the reply."""
        piece = next((piece for piece in self._pieces if piece.index == index and not piece.ended), None)
        if piece is None:
            return
        if not piece.chunks:
            pieces.insert(self._sounding, piece)
            self._sounding += 1
        piece.chunks.append(chunk)

    def end_piece(self, index: int) -> None:
        """Take in that the voice is done with a piece; one that failed is simply not heard."""
        for piece in self._pieces:
            if piece.index == index:
                piece.ended = True

    def drop(self) -> None:
        """What there is no sound of yet is not said any more."""
        for piece in self._pieces:
            if not piece.chunks:
                piece.ticket.cancel()
                piece.requested = piece.ended = True

    def tickets(self) -> list[Ticket]:
        """Of all pieces."""
        return [piece.ticket for piece in self._pieces]
