"""Which of several forms a client would rather have (RFC 9110 section 12.5.1)."""

from collections.abc import Mapping


def preferred_form(accept: str, forms: Mapping[str, str], default: str) -> str:
    """The form that an Accept header prefers.

    Args:
        accept: the header, "" for none.
        forms: names by media type; "audio/*" may stand for any of its kind.
        default: the name for a client that accepts everything, or nothing that we have.
    """
    best, best_weight = default, 0.0
    for part in accept.split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        name = default if media_type == "*/*" else forms.get(media_type)
        weight = _weight(parameters)
        if name is not None and weight > best_weight:
            best, best_weight = name, weight
    return best


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
