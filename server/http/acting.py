"""In whose name a request acts: the user that it names, or the one whom its principal is bound to."""

from aiohttp import web

from server.http.errors import ApiError
from server.identity.principal import principal_of


def acting_user(request: web.Request, named: str | None) -> str | None:
    """The user in whose name a request acts.

    Args:
        request: of the principal.
        named: the user that the request names; None for nobody.

    Returns:
        the named one, or the one whom the principal is bound to.

    Raises:
        ApiError: 404, it names somebody else than the principal's user: for them there is nobody of that name.
    """
    principal = principal_of(request)
    if named is None:
        return principal.user_id
    if not principal.reaches(named):
        raise ApiError(404, "user_not_found", "There is no such user for this key or token")
    return named


def named_user(request: web.Request, named: str) -> str:
    """`acting_user` for requests that have to name one."""
    return acting_user(request, named) or named
