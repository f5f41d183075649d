"""Unfinished turns: whether the words say that a speaker is likely to go on, so that turn-taking waits longer."""

import re
from typing import Final

from pipeline.text.groups import More, Wanted, group
from pipeline.text.normalise import normalise
from pipeline.text.words import ARTICLES_AND_PREPOSITIONS, CONJUNCTIONS, primary_language, word_set

_NEVER_LAST: Final[dict[str, frozenset[str]]] = {
    "en": word_set(
        "a an the my your our their its and or but nor because if although unless whereas of um uh uhm er erm hmm"
        " every each into"
    ),
    "de": word_set("der dem des und oder aber sondern denn weil dass wenn ob äh ähm öh mein dein zum zur im vom beim"),
    "fr": word_set(
        "le les un des du de et ou mais parce puisque lorsque euh heu mon ton ses notre votre leur au aux à"
    ),
    "es": word_set("el los las un de del al y o pero porque aunque eh este mi tu su con en para por"),
    "it": word_set("il lo gli un di del della dei e o ma perché che ehm eh mio tuo al alla con per"),
    "pt": word_set("o os um uma de do da dos das e ou mas porque que hum é meu seu com em para no na"),
    "nl": word_set("de het een en of maar want omdat dat van eh uh ehm mijn jouw naar"),
}
"""Nobody ends a turn on these, even where the transcript has a full stop behind them."""

_PARTICLES: Final[dict[str, frozenset[str]]] = {
    "de": word_set("an auf aus ab ein zu mit vor bei nach die das den ihr sie als"),
    "nl": word_set("aan uit op in mee af door over dit dat deze die zijn haar"),
    "fr": word_set("y en dessus comme où"),
    "en": word_set("that this those these her his who where so"),
    "es": word_set("esta esa este ese como donde"),
    "it": word_set("questo questa la dove come anche"),
    "pt": word_set("este esta isso onde como pois a as"),
}
"""Listed as leaning on the next word, but at home at the end of a sentence too ("Mach das Licht an")."""

_ENGLISH_ENDINGS: Final = re.compile(
    r"(?:^| )(?:"
    r"\w as in|spelled|spelt|double|triple|dot|dash|slash|underscore|hyphen|plus|minus|point|times|divided by"
    r"|(?:name|number|address|e mail|email|email address|code|password|birthday|date of birth|zip)(?:'s| is)"
    r"|can you|could you|would you|will you|i want|i need|i would like|i'd like|let me|i was wondering|i think|i mean"
    r"|you know|what about|how about|tell me|i'm|i am|it's like|kind of|sort of|such as|for example|let's see"
    r")$"
)
_OTHER_ENDINGS: Final[dict[str, re.Pattern[str]]] = {
    "de": re.compile(
        r"(?:^| )(?:\w wie|komma|punkt|minus|plus|(?:name|nummer|adresse) ist|ich möchte|ich hätte gern"
        r"|können sie|zum beispiel)$"
    ),
    "fr": re.compile(
        r"(?:^| )(?:\w comme|virgule|point|je voudrais|je veux|par exemple|est ce que|(?:nom|numéro) est)$"
    ),
    "es": re.compile(r"(?:^| )(?:\w de|coma|punto|quiero|quisiera|me gustaría|por ejemplo|(?:nombre|número) es)$"),
    "it": re.compile(r"(?:^| )(?:\w come|virgola|punto|vorrei|voglio|per esempio|(?:nome|numero) è)$"),
    "pt": re.compile(r"(?:^| )(?:\w de|vírgula|ponto|quero|gostaria|por exemplo|(?:nome|número) é)$"),
    "nl": re.compile(r"(?:^| )(?:\w van|komma|punt|ik wil|ik zou graag|bijvoorbeeld|(?:naam|nummer) is)$"),
}
_SPELLING: Final = re.compile(r"(?:^| )[^\W\d_](?: [^\W\d_]){1,}$")
_DIGIT_WORDS: Final = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "oh": "0",
}  # fmt: skip
_LONG_NUMBERS: Final[tuple[tuple[re.Pattern[str], frozenset[int]], ...]] = (
    (re.compile(r"\b(?:card|iban|account)\b"), frozenset(range(1, 13))),
    (
        re.compile(r"\b(?:phone|mobile|cell|call|reach|telephone|my number|number is|number's|fax)\b"),
        frozenset({*range(1, 7), 8, 9}),
    ),
    (re.compile(r"\b(?:zip|postal)\b"), frozenset(range(1, 5))),
    (re.compile(r"\b(?:code|pin|password)\b"), frozenset(range(1, 4))),
)
"""What announces a long number, and how many digits show that it is not complete."""
_HOUSE_NUMBER: Final = re.compile(r"\b(?:live at|address is|located at|house number|staying at)$")


QUESTION_WORDS: Final = 3
"""Words of a whole question."""


def what_follows(text: str, language: str = "en", asked: Wanted | None = None, known: str = "") -> More:
    """Whether more is to come behind the transcript of a turn so far.

    Args:
        text: the transcript so far, with the model's punctuation.
        language: ISO 639-1 code, a region after it is ignored.
        asked: what the reply before it asked for, see `pipeline.text.groups.wanted`.
        known: what was said before; letters that spell one of its words are all of them.
    """
    grouped = group(text, asked, known, language)
    if grouped is not None and grouped is not More.PERHAPS:
        return grouped
    if expects_more(text, language):
        return More.YES
    return grouped or More.NO


def expects_more(text: str, language: str = "en") -> bool:
    """Whether the transcript of a turn so far ends where nobody stops.

    True behind a comma, dash or dots; behind articles, conjunctions, prepositions and fillers; within spelling ("B as
    in"), and in English within telephone numbers, codes and addresses. False for questions ("What is it for?") and for
    an empty text. Errs on the side of False: turn-taking only waits longer for True.

    Args:
        text: the transcript so far, with the model's punctuation.
        language: ISO 639-1 code, a region after it is ignored.
    """
    stripped = text.strip().rstrip("\"'”’»)")
    phrase = normalise(stripped)
    if not phrase or stripped.endswith(("?", "？")):
        return False
    if stripped.endswith(("...", "…", ",", "-", "–", "—", ":", ";")):
        return True
    code = primary_language(language)
    last = phrase.rsplit(" ", maxsplit=1)[-1]
    if last in _NEVER_LAST.get(code, frozenset()):
        return True
    if code == "en" and (_ENGLISH_ENDINGS.search(phrase) or _in_long_number(phrase)):
        return True
    if code in _OTHER_ENDINGS and _OTHER_ENDINGS[code].search(phrase):
        return True
    if stripped.endswith((".", "!", "。", "！")):
        return False
    leaning = ARTICLES_AND_PREPOSITIONS.get(code, frozenset()) | CONJUNCTIONS.get(code, frozenset())
    return last in leaning - _PARTICLES.get(code, frozenset()) or _SPELLING.search(phrase) is not None


def is_question(text: str) -> bool:
    """Whether the transcript of a turn so far is a question to its end.

    Two words are none ("You know?", "Right?"): many go on behind those.

    Args:
        text: the transcript so far, with the model's punctuation.
    """
    stripped = text.strip().rstrip("\"'”’»)")
    last = re.split(r"[.!?…。！？]", stripped.rstrip("?？ "))[-1]
    return stripped.endswith(("?", "？")) and (len(last.split()) >= QUESTION_WORDS or not last.isascii())


def _in_long_number(phrase: str) -> bool:
    """Whether the phrase ends in digits that are too few for what was announced before them."""
    words = phrase.split()
    digits, at = "", len(words)
    while at and (words[at - 1].isdecimal() or words[at - 1] in _DIGIT_WORDS):
        at -= 1
        digits = _DIGIT_WORDS.get(words[at], words[at]) + digits
    if not digits:
        return False
    before = " ".join(words[:at])
    if _HOUSE_NUMBER.search(before):
        return True
    for announced, incomplete in _LONG_NUMBERS:
        if announced.search(before):
            return len(digits) in incomplete
    return False
