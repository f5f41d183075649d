"""The items of a conversation as the client sees them: in order, each as JSON, bounded in number and in size."""

import json
from typing import Any

from server.bounds import MAX_ITEM_CHARS, MAX_ITEMS

Json = dict[str, Any]

ROOT = "root"
"""In place of an item's id: in front of all items."""


class ItemList:
    """Items by id, in order."""

    def __init__(self) -> None:
        self._items: dict[str, Json] = {}
        self._order: list[str] = []
        self._sizes: dict[str, int] = {}
        self._chars = 0

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._items

    def get(self, item_id: str) -> Json | None:
        """An item, None where there is none of this id."""
        return self._items.get(item_id)

    def add(self, item: Json, after: str | None = None) -> str | None:
        """Put an item somewhere, or in the place of the one with its id.

        Args:
            item: with its "id".
            after: id of the item that it follows, or `ROOT`; None for the end.

        Returns:
            the id of the item that it follows; None where it is the first.

        Raises:
            KeyError: there is no item `after`.
        """
        item_id = item["id"]
        if item_id not in self._items:
            index = len(self._order) if after is None else 0 if after == ROOT else self._index(after) + 1
            self._order.insert(index, item_id)
        self._items[item_id] = item
        self._count(item)
        previous = self.previous(item_id)
        while len(self._order) > MAX_ITEMS or (self._chars > MAX_ITEM_CHARS and len(self._order) > 1):
            self.remove(self._order[0])
        return previous

    def previous(self, item_id: str) -> str | None:
        """Id of the item in front of one; None where it is the first, or not there."""
        if item_id not in self._items:
            return None
        index = self._index(item_id)
        return self._order[index - 1] if index else None

    def before(self, item_id: str) -> list[str]:
        """Ids of the items in front of one, the nearest first."""
        return self._order[: self._index(item_id)][::-1]

    def remove(self, item_id: str) -> None:
        """Take an item out, if it is there."""
        if self._items.pop(item_id, None) is not None:
            self._order.remove(item_id)
            self._chars -= self._sizes.pop(item_id)

    def _index(self, item_id: str) -> int:
        if item_id not in self._items:
            raise KeyError(item_id)
        # Mostly it is one of the last.
        return len(self._order) - 1 - self._order[::-1].index(item_id)

    def _count(self, item: Json) -> None:
        size = len(json.dumps(item))
        self._chars += size - self._sizes.get(item["id"], 0)
        self._sizes[item["id"]] = size


def message(item_id: str, role: str, status: str, content: list[Json]) -> Json:
    """A message item."""
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "role": role,
        "status": status,
        "content": content,
    }


def function_call(item_id: str, call_id: str, name: str, arguments: str, status: str = "completed") -> Json:
    """The item of a function call."""
    shown: Json = {"id": item_id, "object": "realtime.item", "type": "function_call", "status": status}
    return {**shown, "call_id": call_id, "name": name, "arguments": arguments}


def function_output(item_id: str, call_id: str, output: str) -> Json:
    """The item of what came of a function call."""
    shown: Json = {"id": item_id, "object": "realtime.item", "type": "function_call_output", "status": "completed"}
    return {**shown, "call_id": call_id, "output": output}
