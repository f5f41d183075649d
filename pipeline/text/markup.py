"""Markup that is not meant for the ear, taken out: Markdown, HTML, emoji, code. What stays knows its origin."""

import re
from typing import Final

from pipeline.text.words import Span


class MappedText:
    """A text that is edited while every character remembers the range of the source that it came from."""

    def __init__(self, source: str) -> None:
        self.text = source
        self.origin = [Span(i, i + 1) for i in range(len(source))]

    def sub(self, pattern: re.Pattern[str], replacement: str = "", keep: str = "") -> None:
        """Replace every match.

        Args:
            pattern: what to replace.
            replacement: characters to put there; they come from the whole match.
            keep: name of a group that stays as it is, in place of `replacement`.
        """
        pieces: list[str] = []
        origin: list[Span] = []
        at = 0
        for match in pattern.finditer(self.text):
            start, end = match.span()
            pieces.append(self.text[at:start])
            origin += self.origin[at:start]
            if keep:
                pieces.append(match.group(keep) or "")
                origin += self.origin[slice(*match.span(keep))] if match.group(keep) else []
            elif end > start:
                pieces.append(replacement)
                origin += [Span(self.origin[start].start, self.origin[end - 1].end)] * len(replacement)
            at = end
        if at:
            self.text = "".join(pieces) + self.text[at:]
            self.origin = origin + self.origin[at:]

    def source_span(self, start: int, end: int) -> Span:
        """The range of the source from which the characters `start` to `end` came; there must be at least one."""
        return Span(self.origin[start].start, self.origin[end - 1].end)


_EMOJI: Final = (
    r"\U0001F000-\U0001FAFF\u2600-\u27BF\u2B00-\u2BFF\u231A-\u231B\u23CF\u23E9-\u23FA\u25AA-\u25FE\u2934\u2935\u3030"
    r"\u303D\u3297\u3299\u2122\u2139\u00A9\u00AE"
)
_STEPS: Final[tuple[tuple[re.Pattern[str], str, str], ...]] = (
    # What no reader sees: control tokens of language models, control characters, zero width spaces, soft hyphens.
    (re.compile(r"<\|[^|>\n]{1,40}\|>"), "", ""),
    (re.compile(r"[\u00ad\u200b\u2060\ufeff\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]"), "", ""),
    # Code blocks are skipped, also one that the end of the text leaves open.
    (re.compile(r"(?m)^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL), "\n", ""),
    (re.compile(r"```.*?(?:```|\Z)", re.DOTALL), " ", ""),
    (re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL), "", ""),
    (re.compile(r"<(?P<url>(?:https?://|mailto:)[^>\s]+)>"), "", "url"),
    (re.compile(r"(?i)<br\s*/?>|</(?:p|li|h[1-6]|tr|div)>"), "\n", ""),
    # A tag is a name alone, or one with attributes: "a <b and c> d" compares.
    (
        re.compile(
            r"</?[A-Za-z][\w:-]{0,40}(?:\s(?=[^<>\n]{0,200}[=/\"'])[^<>\n]{0,200})?/?>"
            r"|<(?:input|button|option|video|audio|script|iframe|details|img|hr|br)\b[^<>\n]{0,200}>"
        ),
        "",
        "",
    ),
    (re.compile(r"&nbsp;"), " ", ""),
    (re.compile(r"&amp;"), "&", ""),
    (re.compile(r"&lt;"), "<", ""),
    (re.compile(r"&gt;"), ">", ""),
    (re.compile(r"&(?:quot|#34);"), '"', ""),
    (re.compile(r"&(?:apos|#39);"), "'", ""),
    # Images and links keep their text; footnotes and numbered citations go.
    (
        re.compile(
            r"!?\[(?P<text>[^\[\]\n]*)\](?:\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s+\"[^\"]*\")?\)|\[[^\]\n]*\])"
        ),
        "",
        "text",
    ),
    (re.compile(r"\[\^?\d{1,3}\](?!\()"), "", ""),
    (re.compile(r"\[\^[\w-]+\]:?"), "", ""),
    # Lines: rules, rows that only part a table, quotes, headings, list items (a blank line makes each a sentence).
    (re.compile(r"(?m)^[ \t]*(?:[-*_=][ \t]*){3,}$"), "\n", ""),
    (re.compile(r"(?m)^[ \t]*(?:\|[ \t]*)?:?-{2,}:?[ \t]*(?:\|[ \t]*:?-{2,}:?[ \t]*)*(?:\|[ \t]*)?$"), "\n", ""),
    (re.compile(r"(?m)^[ \t]*(?:>[ \t]?)+"), "", ""),
    (re.compile(r"(?m)^[ \t]*#{1,6}[ \t]+"), "\n", ""),
    (re.compile(r"(?m)(?<![ \t])[ \t]+#+[ \t]*$"), "", ""),
    (re.compile(r"(?m)^[ \t]*[-*+•‣◦▪][ \t]+(?:\[[ xX]\][ \t]+)?"), "\n", ""),
    (re.compile(r"(?m)^[ \t]*\||\|[ \t]*$"), "", ""),
    # Emphasis, also where only one end of it is in this piece; a star between blanks is a product.
    (re.compile(r"~~|\*{2,}|(?<![\s\d])\*|\*(?![\s\d])|(?<!\w)_+(?=\S)|(?<=\S)_{1,32}(?!\w)"), "", ""),
    (re.compile(r"\\[()\[\]]|\$\$|`+"), "", ""),
    (re.compile(r"\\(?P<escaped>[!-/:-@\[-`{-~])"), "", "escaped"),
    (re.compile(r"(?<=\w)\(s\)"), "s", ""),
    (re.compile(r"(?:(?<=\s)|^)(?:[:;][-^']?[)(DPpO/|\\]+|<3|[xX]D|\^\^)(?=\s|$|[.!?,])"), "", ""),
    (re.compile(rf"[{_EMOJI}\uFE0F\u20E3\U000E0020-\U000E007F]+(?:\u200D[{_EMOJI}\uFE0F]+)*"), " ", ""),
)


def strip_markup(source: str) -> MappedText:
    """The text without markup. Words stay in order; line ends that part sentences stay as line ends."""
    mapped = MappedText(source)
    for pattern, replacement, keep in _STEPS:
        mapped.sub(pattern, replacement, keep)
    return mapped
