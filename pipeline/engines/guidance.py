"""What may be added to a prompt for a language model that is too small to do without; `llm/guidance.py` adds it."""

import enum


class Guidance(enum.Flag):
    """What an engine may add to a prompt for a model that is too small to do without."""

    NONE = 0
    FACTS = enum.auto()
    """What sums come to, and that the answer of a tool is to be told."""
    MANNER = enum.auto()
    """Examples of answers. Only where the instructions say no more than that this is Morgan."""
