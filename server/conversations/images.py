"""Images that clients send for the language model: what is taken, and what is refused, in the words for clients."""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import Field

from pipeline.engines.images import Image
from server.bounds import MAX_IMAGE, MAX_IMAGES, MAX_IMAGES_TOGETHER

ImageUrl = Annotated[str, Field(min_length=1, max_length=MAX_IMAGE)]
"""An image as clients send it; whether it is taken is for `refused_images` to say."""

Detail: TypeAlias = Literal["auto", "low", "high", "original"]
"""How closely the model is to look."""

_PREFIX = re.compile(r"data:image/(?:png|jpeg|jpg|webp|gif);base64,", re.IGNORECASE)
_ADDRESS = re.compile(r"(?!data:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)


class Refused(NamedTuple):
    """Why images are not taken.

    Attributes:
        code: for programs.
        message: for people.
        number: of the image that it is about, from 0.
        unsupported: nothing of the kind is taken, rather than this one being wrong.
    """

    code: str
    message: str
    number: int
    unsupported: bool = False


def refused_images(images: Sequence[Image], model: str, *, sees: bool) -> Refused | None:
    """What is wrong with the images of a request or of an item; None where they can be handed on.

    Addresses are not fetched, and not handed on to be fetched by the model's server either: that one stands within the
    operator's network, and would be asked for whatever a client names.

    Args:
        images: all of them.
        model: name of the language model.
        sees: whether images reach it.
    """
    if images and not sees:
        message = f"{model} sees no images here; MORGAN_LLM_SEES_IMAGES says of a model behind an endpoint that it does"
        return Refused("images_unsupported", message, 0, unsupported=True)
    if len(images) > MAX_IMAGES:
        return Refused("too_many_images", f"There may be at most {MAX_IMAGES} images", MAX_IMAGES)
    if sum(len(image.url) for image in images) > MAX_IMAGES_TOGETHER:
        message = f"All images together may have at most {MAX_IMAGES_TOGETHER} bytes, as they are in base64"
        return Refused("images_too_large", message, len(images) - 1)
    return next((wrong for index, image in enumerate(images) if (wrong := _refused(image.url, index))), None)


def _refused(url: str, index: int) -> Refused | None:
    if _ADDRESS.match(url):
        message = "No address is fetched here: send the image itself, as a data URL (data:image/png;base64,...)"
        return Refused("image_url_unsupported", message, index, unsupported=True)
    prefix = _PREFIX.match(url)
    if prefix is None:
        message = "An image is a data URL of a PNG, JPEG, WebP or GIF: data:image/png;base64,..."
        return Refused("invalid_image", message, index)
    try:
        empty = not base64.b64decode(url[prefix.end() :], validate=True)
    except (binascii.Error, ValueError):
        empty = True
    return (
        Refused("invalid_image", "What follows base64, in the image's data URL is not base64", index) if empty else None
    )


def shed_images(held: Sequence[tuple[str, Sequence[Image]]]) -> list[str]:
    """Which messages of a conversation are to lose their images, for those that are newer to have room.

    Args:
        held: ids of the messages with images, and these, oldest first.
    """
    count, size, shed = 0, 0, list[str]()
    for message_id, images in reversed(held):
        count, size = count + len(images), size + sum(len(image.url) for image in images)
        if count > MAX_IMAGES or size > MAX_IMAGES_TOGETHER:
            shed.append(message_id)
    return shed
