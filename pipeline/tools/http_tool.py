"""Tools behind HTTP: the arguments are POSTed as JSON, the body of the answer is the result."""

from typing import Any

import httpx2

from pipeline.tools.declaration import ToolDeclaration
from pipeline.tools.errors import ToolError

MAX_ANSWER = 256 * 1024
"""Bytes of an answer that are read."""


class HttpTool:
    """Runs one tool.

    Args:
        declaration: of it.
        client: shared by all such tools; redirects are not followed.
    """

    def __init__(self, declaration: ToolDeclaration, client: httpx2.AsyncClient) -> None:
        assert declaration.url is not None
        self._url = declaration.url
        self._headers = {name: value.get_secret_value() for name, value in declaration.headers.items()}
        self._client = client

    async def run(self, arguments: dict[str, Any]) -> str:
        """The body of the answer, as text.

        Raises:
            ToolError: the endpoint cannot be reached, or answers with another status than 2xx.
        """
        try:
            async with self._client.stream("POST", self._url, json=arguments, headers=self._headers) as response:
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) >= MAX_ANSWER:
                        break
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise ToolError(f"the tool cannot be reached ({type(error).__name__})") from error
        text = bytes(body[:MAX_ANSWER]).decode(response.encoding or "utf-8", "replace")
        if not response.is_success:
            raise ToolError(f"the tool answered with status {response.status_code}: {text[:500]}")
        return text
