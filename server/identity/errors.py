"""What goes wrong with tokens, keys and JWTs."""


class TokenError(Exception):
    """A token that is not accepted; the message is fit for the client that showed it."""


class TokenTooLargeError(ValueError):
    """What is to be bound to a token does not fit."""
