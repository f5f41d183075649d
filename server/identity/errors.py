"""What goes wrong with tokens, keys and JWTs."""


class TokenError(Exception):
    """A token that lets nobody in; the message is fit for whoever showed it."""


class TokenTooLargeError(ValueError):
    """What is to be bound to a token does not fit."""
