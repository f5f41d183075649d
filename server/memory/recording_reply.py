"""A file of recordings as an answer: ranges, and what has changed since. Sealed ones are opened piece by piece."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import structlog
from aiohttp import ETag, hdrs, web

from media.sealed_file import SealedFileError, SealedReader, SealingKeys, is_sealed
from server.http.errors import ApiError

PIECE = 64 * 1024
"""Bytes that are opened and sent at a time."""

log = structlog.get_logger(__name__)


async def send_recording(request: web.Request, path: Path, keys: SealingKeys | None, kind: str) -> web.StreamResponse:
    """The file, or the range of it that was asked for.

    Args:
        request: with `Range` and conditions, as they may be.
        path: of the file.
        keys: that open it.
        kind: its media type.

    Raises:
        ApiError: 404, it was deleted meanwhile; 503, it is sealed, and cannot be opened.
    """
    headers: dict[str, str] = {
        hdrs.CONTENT_TYPE: kind,
        hdrs.CONTENT_DISPOSITION: f'attachment; filename="{path.name}"',
        hdrs.CACHE_CONTROL: "private, no-cache",
    }
    try:
        if not await asyncio.to_thread(is_sealed, path):
            return web.FileResponse(path, headers=headers)
        reader = await asyncio.to_thread(SealedReader, path, keys)
    except FileNotFoundError:
        raise ApiError(404, "recording_not_found", "This conversation has no such recording") from None
    except SealedFileError as error:
        log.error("recording cannot be opened", file=path.name, problem=str(error))
        raise ApiError(503, "recording_sealed", f"The recording cannot be opened: {error}") from error
    try:
        return await _send(request, path, reader, headers)
    finally:
        await asyncio.to_thread(reader.close)


async def _send(request: web.Request, path: Path, reader: SealedReader, headers: dict[str, str]) -> web.StreamResponse:
    status = await asyncio.to_thread(path.stat)
    etag = ETag(f"{status.st_mtime_ns:x}-{reader.size:x}")
    changed = datetime.fromtimestamp(int(status.st_mtime), tz=UTC)
    if (code := _condition(request, etag, changed)) is not None:
        response: web.StreamResponse = web.Response(status=code)
        response.etag, response.last_modified = etag, changed
        return response
    wanted = _range(request, reader.size, changed)
    if wanted is None:
        return web.Response(status=416, headers={hdrs.CONTENT_RANGE: f"bytes */{reader.size}"})
    start, stop, partial = wanted
    response = web.StreamResponse(status=206 if partial else 200, headers=headers)
    response.etag, response.last_modified = etag, changed
    response.headers[hdrs.ACCEPT_RANGES] = "bytes"
    response.content_length = stop - start
    if partial:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{stop - 1}/{reader.size}"
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        for at in range(start, stop, PIECE):
            await response.write(await asyncio.to_thread(reader.read, at, min(PIECE, stop - at)))
    await response.write_eof()
    return response


def _condition(request: web.Request, etag: ETag, changed: datetime) -> int | None:
    """412 or 304, where a condition of the request says so (RFC 9110 section 13.2.2)."""
    if request.if_match is not None:
        if not _matches(request.if_match, etag):
            return 412
    elif request.if_unmodified_since is not None and changed > request.if_unmodified_since:
        return 412
    if request.if_none_match is not None:
        return 304 if _matches(request.if_none_match, etag) else None
    if request.if_modified_since is not None and changed <= request.if_modified_since:
        return 304
    return None


def _matches(tags: tuple[ETag, ...], etag: ETag) -> bool:
    return any(each.value in ("*", etag.value) for each in tags)


def _range(request: web.Request, size: int, changed: datetime) -> tuple[int, int, bool] | None:
    """First byte, the one behind the last, and whether that was asked for; None where there are no such ones."""
    if request.if_range is not None and changed > request.if_range:
        return 0, size, False
    try:
        asked = request.http_range
    except ValueError:
        return None
    if asked.start is None and asked.stop is None:
        return 0, size, False
    start = asked.start or 0
    if start < 0:
        start = max(size + start, 0)
    stop = size if asked.stop is None else min(asked.stop, size)
    return (start, stop, True) if start < stop else None
