"""The HTTP client for MCP servers, in bounds: no answer is read without end."""

from collections.abc import AsyncIterator, Mapping

import httpx2

MAX_BODY = 2 * 1024 * 1024
"""Bytes of an answer that is no stream of events; of those, the library bounds each one (1 MiB)."""

TIMEOUT = httpx2.Timeout(10.0, read=300.0)
"""Seconds; a tool call may take long to answer, and has its own deadline."""


def http_client(headers: Mapping[str, str]) -> httpx2.AsyncClient:
    """A client for one server; proxies and netrc of the environment are not looked at."""
    return httpx2.AsyncClient(headers=dict(headers), timeout=TIMEOUT, transport=_Bounded(), trust_env=False)


class _Bounded(httpx2.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Counted(response.stream, request)
        return response


class _Counted(httpx2.AsyncByteStream):
    """Raises ReadError where there is too much."""

    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for piece in self._stream:
            read += len(piece)
            if read > MAX_BODY:
                raise httpx2.ReadError(f"an answer of more than {MAX_BODY} bytes", request=self._request)
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
