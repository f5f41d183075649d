"""JSON of very many parts: two bytes each, and each an object to be made on the event loop that has the sound of calls.

Two megabytes of `[],[],` took 0.3 s of it, at a door that takes two megabytes of words in 2 ms. Parsers keep the
interpreter to themselves, so no thread would help: what has more parts than any form needs is not parsed.
"""

from server.bounds import MAX_JSON_LISTS, MAX_JSON_PARTS


def has_too_many_parts(json: bytes, most: int = MAX_JSON_PARTS) -> bool:
    """Whether a text has more values than it may; what stands in its strings counts for nothing.

    Args:
        json: of any kind; need not be JSON.
        most: values that it may have, and strings.
    """
    if len(json) <= MAX_JSON_LISTS or (_fits(json, most) and json.count(b'"') <= 2 * most):
        return False
    # Words have commas, too, and code has brackets: they are left out, in steps whose cost is bounded by the same.
    if json.count(b"\\\\") + json.count(b'\\"') > 4 * most:
        return True
    bare = json.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') > 2 * most:
        return True
    return not _fits(b"".join(bare.split(b'"')[::2]), most)


def _fits(json: bytes, most: int) -> bool:
    """Whether there are as few marks as values: each but the first follows a comma, or what opens a list or object."""
    opened = json.count(b"[") + json.count(b"{")
    return opened <= MAX_JSON_LISTS and opened + json.count(b",") <= most
