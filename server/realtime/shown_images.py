"""Images in the items of a Realtime conversation: which are taken, and for how long they are shown to the model.

The language model's context alone holds them. Clients are shown such items without what they sent themselves: it would
come back with every event of an item, and fill the queue of a client that reads slowly.
"""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.call.context import Entry
from pipeline.call.requests import InsertEntry
from pipeline.engines.images import Image
from server.conversations.images import refused_images, shed_images
from server.realtime.abilities import Abilities
from server.realtime.errors import RealtimeError, unsupported


def refuse_images(images: Sequence[Image], abilities: Abilities, places: Sequence[str] = ()) -> None:
    """Refuse what a client shows where it does not reach the language model.

    Args:
        images: of an item, or of the input of a response.
        abilities: of the server.
        places: where each of them is in the client's event.

    Raises:
        RealtimeError: the model is blind, or something is wrong with one of them.
    """
    refused = refused_images(images, abilities.model, sees=abilities.sees_images)
    if refused is None:
        return
    place = places[refused.number] if places else "response.input"
    if refused.code == "images_unsupported":
        raise unsupported(f"{place}.type" if places else place, f"input_image: {refused.message}")
    param = f"{place}.image_url" if places else place
    if refused.unsupported:
        raise unsupported(param, refused.message)
    raise RealtimeError("invalid_value", f"Invalid '{param}': {refused.message}.", param)


def without_old_images(entries: list[Entry]) -> list[InsertEntry]:
    """Entries whose images have to go, without these, to be put in their own place: the model still reads of them."""
    held = [(entry.item_id, entry.images) for entry in entries if entry.images]
    shed = set(shed_images(held))
    return [
        InsertEntry(replace(entry, text=entry.written, images=()), kept=False)
        for entry in entries
        if entry.item_id in shed
    ]


def images_of(entries: list[Entry], item_id: str) -> tuple[Image, ...]:
    """What an item shows."""
    return next((entry.images for entry in entries if entry.item_id == item_id), ())
