"""What all calls of a process share."""

from dataclasses import dataclass

from media.endpoint import MediaEndpoint
from pipeline.engines.protocols import Engines
from server.calls.channel_talk import MakeTalk
from server.memory.door import MemoryDoor
from server.observability.metrics import Metrics
from server.webhooks.calls import CallWebhooks


@dataclass(frozen=True, slots=True)
class CallParts:
    """What calls are made of, and who is told of them.

    Attributes:
        engines: that hear, think and speak.
        endpoint: the media port.
        memory: where calls are written down.
        metrics: what is counted.
        make_talk: makes what Morgan's own clients speak on the data channel.
        webhooks: tell others of what happens in calls; None where nobody asked.
    """

    engines: Engines
    endpoint: MediaEndpoint
    memory: MemoryDoor
    metrics: Metrics
    make_talk: MakeTalk
    webhooks: CallWebhooks | None = None
