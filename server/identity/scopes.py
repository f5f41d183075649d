"""Scopes: what a principal may do, by name."""

from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

Scope: TypeAlias = Literal["calls", "read", "erase", "speech", "llm", "tokens", "metrics", "service", "admin"]
"""calls: talk with Morgan, by voice or in writing, and say how. read: what is stored of it. erase: delete that.
speech: transcription and synthesis by themselves. llm: the language model and vectors by themselves. tokens: give
others, for a while, what one may do oneself. metrics: figures of the server. service: be a core to the services: say
what is urgent, ask without a limit. admin: everything, for everybody."""

ALL: frozenset[Scope] = frozenset(get_args(Scope))

LENDABLE: frozenset[Scope] = frozenset({"calls", "read", "erase", "speech", "llm"})
"""What a token can carry."""


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Scopes by their names.

    Raises:
        ValueError: one is unknown; the message names it and those that there are.
    """
    wanted = set(names)
    unknown = sorted(wanted - ALL)
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: there is no such scope; known are {', '.join(get_args(Scope))}")
    return frozenset(scope for scope in ALL if scope in wanted)
