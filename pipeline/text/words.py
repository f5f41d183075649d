"""Words, and those that lean on the next one: shared by the chunker and by turn-taking."""

import re
from typing import Final, NamedTuple

CJK: Final = (
    r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Character class body of the scripts that are written without spaces between words (Han, Kana)."""

SPACED_SENTENCE_ENDS: Final = ".!?…।॥؟۔።។။"
"""Marks that end a sentence where white space follows: Latin, Devanagari, Arabic, Ethiopic, Khmer, Burmese."""

FULL_WIDTH_SENTENCE_ENDS: Final = "。！？｡"
"""Those of Chinese and Japanese, behind which no space stands."""

SENTENCE_ENDS: Final = tuple(SPACED_SENTENCE_ENDS + FULL_WIDTH_SENTENCE_ENDS)

_UNSPACED: Final = r"\u0e01-\u0e4e\u0e81-\u0ece\u1000-\u1049\u1780-\u17d3"
_THAI: Final = re.compile(f"[{_UNSPACED}]+")
_ENDS_UNSPACED: Final = re.compile(f"[{_UNSPACED}][\"'”’)\\]]*$")
_THAI_WORD: Final = 4
"""Characters of a word of Thai, Lao, Burmese and Khmer: their spaces part clauses, not words."""

_CJK_CHARACTER: Final = re.compile(f"[{CJK}]")
_WORD: Final = re.compile(r"\S+")
_SOUNDED: Final = re.compile(r"[^\W_]\S*")


class Span(NamedTuple):
    """A range of characters, end exclusive."""

    start: int
    end: int


def split_spans(text: str) -> list[Span]:
    """Ranges of the whitespace-delimited words, in order."""
    return [Span(m.start(), m.end()) for m in _WORD.finditer(text)]


def is_cjk(character: str) -> bool:
    """Whether the character belongs to a script without spaces."""
    return _CJK_CHARACTER.match(character) is not None


def ends_unspaced(text: str) -> bool:
    """Whether a text ends with a letter of a script whose spaces part clauses: Thai, Lao, Burmese, Khmer."""
    return _ENDS_UNSPACED.search(text) is not None


def count_words(text: str) -> int:
    """Number of whitespace-delimited words that hold a letter or a digit; two Han or Kana characters count as one,
    four of Thai, Lao, Burmese and Khmer likewise."""
    cjk = len(_CJK_CHARACTER.findall(text))
    if cjk:
        text = _CJK_CHARACTER.sub(" ", text)
    thai = sum(map(len, _THAI.findall(text)))
    if thai:
        text = _THAI.sub(" ", text)
        cjk += (thai + _THAI_WORD - 1) // _THAI_WORD * 2
    return (cjk + 1) // 2 + len(_SOUNDED.findall(text))


def primary_language(language: str) -> str:
    """The first subtag, lower case: "en" of "en-US" or "en_GB" (RFC 5646 section 2.1)."""
    return re.split(r"[-_]", language.strip().lower(), maxsplit=1)[0] or "en"


def word_set(words: str) -> frozenset[str]:
    """The words of a text that only serves to list them."""
    return frozenset(words.split())


ARTICLES_AND_PREPOSITIONS: Final[dict[str, frozenset[str]]] = {
    "en": word_set(
        "a an the my your his her its our their this that these those of to in on at for with from by about into onto"
        " over under between through during without within against among via per than as"
    ),
    "de": word_set(
        "der die das den dem des ein eine einen einem einer eines mein meine dein deine sein seine ihr ihre unser"
        " unsere von zu zum zur in im ins an am auf für mit bei beim aus nach über unter zwischen durch ohne gegen vor"
        " hinter neben seit während wegen als"
    ),
    "fr": word_set(
        "le la les un une des du de d l à au aux en dans sur sous pour par avec sans chez entre vers mon ma mes ton ta"
        " tes son sa ses notre nos votre vos leur leurs ce cet cette ces"
    ),
    "es": word_set(
        "el la los las un una unos unas de del a al en con por para sin sobre entre desde hasta hacia mi mis tu tus su"
        " sus este esta estos estas ese esa"
    ),
    "it": word_set(
        "il lo la i gli le un uno una di del della dei degli delle a al alla ai alle da dal dalla in nel nella con su"
        " sul sulla per tra fra mio mia tuo tua suo sua questo questa"
    ),
    "pt": word_set(
        "o a os as um uma uns umas de do da dos das em no na nos nas a ao à aos às com por pelo pela para sem sobre"
        " entre até meu minha seu sua este esta esse essa"
    ),
    "nl": word_set(
        "de het een mijn jouw zijn haar ons onze hun dit dat deze die van te in op aan voor met bij uit naar over"
        " onder tussen door zonder tegen"
    ),
}
"""Words that cannot end a phrase, by language: a cut behind one of them would sound wrong."""

CONJUNCTIONS: Final[dict[str, frozenset[str]]] = {
    "en": word_set(
        "and or but nor so because although though while whereas if when unless until whether which who where"
    ),
    "de": word_set("und oder aber sondern denn weil obwohl während wenn als ob dass damit bevor nachdem falls welche"),
    "fr": word_set("et ou mais car donc parce que qui quand lorsque si puisque quoique où dont comme"),
    "es": word_set("y e o u pero sino porque aunque cuando si que mientras donde como pues"),
    "it": word_set("e ed o oppure ma perché anche quando se che mentre dove come poiché quindi"),
    "pt": word_set("e ou mas porque embora quando se que enquanto onde como pois"),
    "nl": word_set("en of maar want omdat hoewel terwijl als wanneer dat zodat tenzij"),
}
"""Words that open a new clause, by language: a cut before one of them sounds natural."""

MONTHS: Final = word_set(
    "january february march april may june july august september october november december"
    " jan feb mar apr jun jul aug sep sept oct nov dec"
)

ABBREVIATIONS: Final = word_set(
    "dr mr mrs ms prof rev hon st ste mt ft jr sr gen col lt capt sgt sen rep gov pres dept est approx appt apt ave"
    " blvd rd hwy vs etc eg ie ph.d m.sc b.sc cf al fig figs vol pp ch sec ed eds no nos inc ltd co"
    " corp bros min max avg tel ext temp"
    " jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat"
    " bzw usw ca evtl ggf inkl nr str z.b d.h u.a hr fr mme mlle mgr sra srta dra dña d.ª ud uds dott sig ing avv"
    " bijv enz dhr mevr mw blz"
)
"""What a full stop may follow without ending a sentence, lower case, without that full stop."""

_ALWAYS_SENTENCE_WHEN_FIRST: Final = word_set("no co mon sat sun al str ing sec ed")
"""Abbreviations that are also words: as the only word of a sentence ("No.") they end it."""

_INITIALS: Final = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]?$")


def is_abbreviation(word: str, *, first: bool = False) -> bool:
    """Whether the full stop at the end of `word` belongs to it ("Dr.", "e.g.", "J.", "U.S.") and ends no sentence.

    Args:
        word: with its full stop; opening brackets, quotes and emphasis before it do not matter.
        first: whether it is the first word of its sentence.
    """
    bare = word.lower().lstrip("([{\"'“‘«*_").rstrip("*_\"'”’»)]}")
    if not bare.endswith(".") or bare.endswith(".."):
        return False
    bare = bare[:-1]
    if first and bare in _ALWAYS_SENTENCE_WHEN_FIRST:
        return False
    if bare == "no" and "No" not in word:
        return False  # "he said no." but "Room No. 5"
    return bare in ABBREVIATIONS or _INITIALS.fullmatch(bare + ".") is not None
