"""Sessions that `POST /start` announced and no offer has come for yet."""

import secrets
from collections import OrderedDict
from typing import Any

from server.bounds import MAX_STARTED_SESSIONS

GOOD_FOR_S = 600.0


class StartedSessions:
    """What was said of each; the oldest goes where there are too many."""

    def __init__(self) -> None:
        self._started: OrderedDict[str, tuple[float, str, Any]] = OrderedDict()

    def begin(self, principal: str, data: Any, now: float) -> str:
        """Keep what was said for `GOOD_FOR_S`; returns the session's id.

        Args:
            principal: who said it; nobody else may use it.
            data: that the offers of the session begin with.
            now: monotonic, s.
        """
        session_id = secrets.token_urlsafe(18)
        self._started[session_id] = (now, principal, data)
        while len(self._started) > MAX_STARTED_SESSIONS:
            self._started.popitem(last=False)
        return session_id

    def find(self, session_id: str, principal: str, now: float) -> Any:
        """What was said.

        Raises:
            KeyError: there is no such session of this principal.
        """
        began, owner, data = self._started[session_id]
        if owner != principal or now - began > GOOD_FOR_S:
            raise KeyError(session_id)
        return data
