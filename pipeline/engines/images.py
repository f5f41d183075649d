"""Images that a user shows a language model, and their place in the user's words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

PLACEHOLDER = "[image]"
"""Stands for an image wherever only words are kept: in memory, in transcripts, in webhooks."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a message.

    Attributes:
        url: a data URL with the image in base64; no address, which the model's server would have to fetch.
        at: characters of the message's words that stand in front of it.
        detail: how closely to look, as the client said ("low", "high"); "" leaves it to the model.
    """

    url: str = field(repr=False)
    at: int = 0
    detail: str = ""


def sees_images(llm: object) -> bool:
    """Whether images reach a language model: engines say so by an attribute of this name, which they need not have."""
    return getattr(llm, "sees_images", False) is True


def content_parts(words: str, images: Sequence[Image]) -> list[dict[str, Any]]:
    """A message's words and images in order, as `/chat/completions` has them.

    Source: https://platform.openai.com/docs/guides/images-vision
    """
    return [
        {"type": "text", "text": piece}
        if isinstance(piece, str)
        else {
            "type": "image_url",
            "image_url": {"url": piece.url, **({"detail": piece.detail} if piece.detail else {})},
        }
        for piece in _in_order(words, images)
    ]


def with_placeholders(words: str, images: Sequence[Image]) -> str:
    """A message as words alone, with a placeholder for each image."""
    if not images:
        return words
    pieces = (piece.strip() if isinstance(piece, str) else PLACEHOLDER for piece in _in_order(words, images))
    return " ".join(pieces)


def _in_order(words: str, images: Sequence[Image]) -> Iterator[str | Image]:
    begin = 0
    for image in sorted(images, key=lambda each: each.at):
        if words[begin : image.at].strip():
            yield words[begin : image.at]
            begin = image.at
        yield image
    if words[begin:].strip():
        yield words[begin:]
