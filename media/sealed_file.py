"""Files that are encrypted as they are written, and can be read from anywhere in them, also while they grow.

    "MORGANS1" | length of the key's id u8 | id, 32 bytes | nonce, 12 | data key under that key, 48 | zeros up to 128
    chunks of 4,096 bytes and a tag of 16, AES-256-GCM under the data key; the last one is shorter

Each file has a data key of its own, so a chunk's nonce is its number and whether it is the last: chunks cannot be
swapped, left out or taken from another file unnoticed. A file without a last chunk is one whose writer was killed, or
goes on; that chunks were cut off its end cannot be told from that. With another key only the head is written
anew (`rewrap`), and ids of keys say which one a file needs.
"""

import base64
import binascii
import contextlib
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"MORGANS1"
HEADER_BYTES = 128
CHUNK_BYTES = 4096
"""At 48 kbit/s 0.7 s of a recording: what a killed server may owe besides the page in hand."""

TAG_BYTES = 16
KEY_BYTES = 32
MAX_ID_BYTES = 32
NONCE_BYTES = 12

_ID_AT = len(MAGIC) + 1
_NONCE_AT = _ID_AT + MAX_ID_BYTES
_WRAPPED_AT = _NONCE_AT + NONCE_BYTES
_WRAPPED_END = _WRAPPED_AT + KEY_BYTES + TAG_BYTES


class SealedFileError(Exception):
    """A sealed file cannot be read: its key is not known, or it is not what was written."""


class UnknownKeyError(SealedFileError):
    """The key that a file needs is not among those that are set."""


@dataclass(frozen=True, slots=True)
class SealingKeys:
    """Keys by id; what is new is sealed with the first.

    Attributes:
        current: id of the one that seals.
        keys: 32 bytes each.
    """

    current: str
    keys: Mapping[str, bytes]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "SealingKeys | None":
        """From `id:base64` each, the current one first; None from none.

        Raises:
            ValueError: one is no id and 32 bytes, or two have the same id.
        """
        found: dict[str, bytes] = {}
        for text in texts:
            name, _, encoded = text.partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                key = b""
            if not name.isascii() or not 1 <= len(name) <= MAX_ID_BYTES or len(key) != KEY_BYTES:
                raise ValueError(
                    f"a key is an id of at most {MAX_ID_BYTES} characters, a colon and {KEY_BYTES} bytes in base64, "
                    "such as 2026a:$(openssl rand -base64 32)"
                )
            if name in found:
                raise ValueError(f"two keys have the id {name}")
            found[name] = key
        return cls(next(iter(found)), found) if found else None

    def __repr__(self) -> str:
        return f"SealingKeys({', '.join(self.keys)})"


class SealedWriter:
    """A new sealed file, readable by us alone. Blocks; one thread at a time.

    Args:
        path: of the file.
        keys: the current one seals it.

    Raises:
        OSError: it cannot be made, or there is one already.
    """

    def __init__(self, path: Path, keys: SealingKeys) -> None:
        data_key = secrets.token_bytes(KEY_BYTES)
        self._cipher = AESGCM(data_key)
        self._waiting = bytearray()
        self._number = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            self._put(_header(data_key, keys))
        except OSError:
            os.close(self._file)
            raise

    def write(self, data: bytes) -> int:
        """Append; every chunk that is full is on disk when this returns.

        Raises:
            OSError: the disk is full or gone.
        """
        self._waiting += data
        sealed = bytearray()
        while len(self._waiting) >= CHUNK_BYTES:
            chunk = bytes(self._waiting[:CHUNK_BYTES])
            del self._waiting[:CHUNK_BYTES]
            sealed += self._cipher.encrypt(_nonce(self._number, last=False), chunk, None)
            self._number += 1
        self._put(bytes(sealed))
        return len(data)

    def close(self) -> None:
        """Write the last chunk.

        Raises:
            OSError: the disk is full or gone.
        """
        if self._file < 0:
            return
        try:
            self._put(self._cipher.encrypt(_nonce(self._number, last=True), bytes(self._waiting), None))
        finally:
            os.close(self._file)
            self._file = -1

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]


class SealedReader:
    """Reads a file from anywhere in it, sealed or plain. Blocks.

    Args:
        path: of the file.
        keys: of which a sealed one needs one.

    Attributes:
        size: bytes that can be read, as the file is now.

    Raises:
        UnknownKeyError: its key is not among them.
        SealedFileError: it is damaged.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, keys: SealingKeys | None) -> None:
        self._file = path.open("rb")
        try:
            header = self._file.read(HEADER_BYTES)
            self._cipher = AESGCM(_data_key(header, keys)) if header.startswith(MAGIC) else None
            self._body = os.fstat(self._file.fileno()).st_size - (HEADER_BYTES if self._cipher else 0)
            self.size = self._body if self._cipher is None else self._plain_size()
        except BaseException:
            self._file.close()
            raise

    def read(self, start: int, count: int) -> bytes:
        """Bytes from `start` on, fewer at the end.

        Raises:
            SealedFileError: what is there is not what was written.
        """
        count = max(min(count, self.size - start), 0)
        if self._cipher is None or count == 0:
            self._file.seek(start)
            return self._file.read(count)
        first, last = start // CHUNK_BYTES, (start + count - 1) // CHUNK_BYTES
        plain = b"".join(self._chunk(number) for number in range(first, last + 1))
        return plain[start - first * CHUNK_BYTES :][:count]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _plain_size(self) -> int:
        whole, rest = divmod(self._body, CHUNK_BYTES + TAG_BYTES)
        if rest < TAG_BYTES:
            return whole * CHUNK_BYTES
        # The last chunk, or a piece of one that is being written, or was when its writer was killed.
        with contextlib.suppress(SealedFileError):
            return whole * CHUNK_BYTES + len(self._chunk(whole))
        return whole * CHUNK_BYTES

    def _chunk(self, number: int) -> bytes:
        assert self._cipher is not None
        at = number * (CHUNK_BYTES + TAG_BYTES)
        length = min(CHUNK_BYTES + TAG_BYTES, self._body - at)
        self._file.seek(HEADER_BYTES + at)
        nonce = _nonce(number, last=length < CHUNK_BYTES + TAG_BYTES)
        try:
            return self._cipher.decrypt(nonce, self._file.read(length), None)
        except InvalidTag:
            raise SealedFileError("the file is damaged, or was changed") from None


def is_sealed(path: Path) -> bool:
    """Whether a file is sealed.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def rewrap(path: Path, keys: SealingKeys) -> bool:
    """Put a sealed file under the current key; returns whether it was under another one.

    Raises:
        UnknownKeyError: its key is not among those that are set.
        SealedFileError: it is damaged.
        OSError: it cannot be written.
    """
    with path.open("r+b") as file:
        header = file.read(HEADER_BYTES)
        if not header.startswith(MAGIC) or _key_id(header) == keys.current:
            return False
        status = os.fstat(file.fileno())
        file.seek(0)
        file.write(_header(_data_key(header, keys), keys))
        file.flush()
        os.fsync(file.fileno())
        # It is as old as it was.
        os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
    return True


def _header(data_key: bytes, keys: SealingKeys) -> bytes:
    name, nonce = keys.current.encode(), secrets.token_bytes(NONCE_BYTES)
    head = MAGIC + bytes((len(name),)) + name.ljust(MAX_ID_BYTES, b"\0")
    wrapped = AESGCM(keys.keys[keys.current]).encrypt(nonce, data_key, head)
    return (head + nonce + wrapped).ljust(HEADER_BYTES, b"\0")


def _key_id(header: bytes) -> str:
    return header[_ID_AT : _ID_AT + min(header[len(MAGIC)], MAX_ID_BYTES)].decode("ascii", "replace")


def _data_key(header: bytes, keys: SealingKeys | None) -> bytes:
    if len(header) < HEADER_BYTES:
        raise SealedFileError("the file has no whole head")
    name = _key_id(header)
    if keys is None or name not in keys.keys:
        raise UnknownKeyError(f"the key {name} is not among MORGAN_RECORDING_KEYS")
    try:
        return AESGCM(keys.keys[name]).decrypt(
            header[_NONCE_AT:_WRAPPED_AT], header[_WRAPPED_AT:_WRAPPED_END], header[:_NONCE_AT]
        )
    except InvalidTag:
        raise SealedFileError(f"the head does not fit the key {name}") from None


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(NONCE_BYTES - 1, "big") + bytes((last,))
