"""A Realtime session as its clients see it: the configuration, the items, the responses under way; and telling them."""

import itertools

from media.telephone_band import WireEncoder
from pipeline.call.events import CallEvent, ReplyCreated
from server.calls.call import Call
from server.realtime.audio_format import encoder_of
from server.realtime.client_events import ResponseWanted
from server.realtime.ends import AudioPort, Sink
from server.realtime.errors import no_such_item
from server.realtime.items import ItemList, Json
from server.realtime.responses import Response
from server.realtime.session_config import SessionConfig
from server.realtime.told import ServerEvents


class SessionView:
    """What the parts of a session share.

    Args:
        call: that the session belongs to.
        config: that it begins with.
        port: takes audio that comes as events; None where it comes as media.
        knows_morgan: whether the client knows Morgan's own events.

    Attributes:
        call: that the session belongs to.
        config: the effective one.
        port: as given.
        items: of the conversation.
        sinks: the clients, all of which are told.
        events: what they are told, in their words.
        wanted: what a client wants of the responses that are asked for and have not begun, by the wish's name.
    """

    def __init__(self, call: Call, config: SessionConfig, port: AudioPort | None, *, knows_morgan: bool) -> None:
        self.call = call
        self.config = config
        self.port = port
        self.items = ItemList()
        self.sinks: list[Sink] = []
        self.wanted: dict[str, ResponseWanted] = {}
        self.events = ServerEvents(
            self.items,
            self._response,
            lambda: self.config.transcribes,
            plays=port is None,
            knows_morgan=knows_morgan,
        )
        self._ids = itertools.count()

    def created(self) -> Json:
        """The first event of every connection."""
        return self.events.event("session.created", {"session": self.config.describe(self.call.id)})

    def tell_of(self, event: CallEvent) -> None:
        """Something happened in the call."""
        for told in self.events.translate(event):
            self.put(told)

    def tell(self, kind: str, fields: Json) -> None:
        """Tell every client of something."""
        self.put(self.events.event(kind, fields))

    def put(self, told: Json) -> None:
        """Send every client an event."""
        for sink in tuple(self.sinks):
            sink.put(told)

    def over(self) -> None:
        """Tell every client that the call is over."""
        for sink in tuple(self.sinks):
            sink.over()

    def new_id(self, kind: str) -> str:
        """An id that no other of this session has."""
        return f"{kind}_{self.call.id[-16:]}_{next(self._ids)}"

    def item(self, item_id: str, verb: str | None = None) -> Json:
        """An item as clients see it.

        Args:
            item_id: of it.
            verb: what the client wants to do to it, see `no_such_item`.

        Raises:
            RealtimeError: there is none of this id.
        """
        item = self.items.get(item_id)
        if item is None:
            raise no_such_item(item_id, verb)
        return item

    def encoder(self) -> WireEncoder:
        """Makes what audio is as an event, in the format of now."""
        return encoder_of(self.config.output_format)

    def _response(self, created: ReplyCreated) -> Response:
        return self.make_response(
            created.reply_id, created.item_id, created.speaks, self.wanted.pop(created.wish, None), self.items
        )

    def make_response(
        self, response_id: str, item_id: str, speaks: bool, wanted: ResponseWanted | None, items: ItemList | None
    ) -> Response:
        """A response as the client sees it; `items` is None for one beside the conversation."""
        config, wanted = self.config, wanted or ResponseWanted()
        audio = config.audio_output()
        output = wanted.audio.output if wanted.audio else None
        if output is not None and output.voice is not None:
            audio["voice"] = config.voice_of(output.voice, "response.audio.output.voice")
        return Response(
            response_id,
            item_id,
            speaks,
            self.call.options.conversation_id if items is not None else None,
            audio,
            wanted.max_output_tokens or config.max_output_tokens,
            wanted.metadata,
            items,
        )
