"""Images for tests: as data URLs, told apart by what they are made of."""

import base64


def png(of: str = "a cat", size: int = 0) -> str:
    """Something that passes for a PNG.

    Args:
        of: what makes it differ from others.
        size: bytes that it has at least, before base64.
    """
    data = b"\x89PNG\r\n\x1a\n" + of.encode()
    return "data:image/png;base64," + base64.b64encode(data.ljust(size, b"\0")).decode()
