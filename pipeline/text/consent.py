"""A user's consent: how it is asked for, and whether they said yes. In doubt they did not: a yes has things done."""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pipeline.text.normalise import normalise
from pipeline.text.words import primary_language

MAX_WORDS: Final = 8
"""Of a yes, with all that is said along with it."""

MAX_TOLD: Final = 220
"""Characters of what is going to be done."""

_LONGEST_PHRASE: Final = 4


def _phrases(text: str) -> frozenset[str]:
    return frozenset(normalise(phrase) for phrase in text.split(","))


_YES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "en": _phrases(
            "yes, yeah, yep, yup, yes please, sure, of course, go ahead, do it, do that, please do, absolutely,"
            " definitely, certainly, confirmed, i confirm, correct, yes you may, you may, yes you can"
        ),
        "de": _phrases(
            "ja, jawohl, jo, ja bitte, ja gerne, gerne, klar, natürlich, sicher, mach das, mach es, tu das, tu es,"
            " mach ruhig, unbedingt, auf jeden fall, bestätigt, ich bestätige, einverstanden, los"
        ),
        "fr": _phrases(
            "oui, ouais, oui s'il te plaît, oui s'il vous plaît, bien sûr, vas y, allez y, fais le, faites le,"
            " d'accord, absolument, certainement, je confirme, confirmé, tout à fait"
        ),
        "es": _phrases(
            "sí, si, sí por favor, claro, claro que sí, por supuesto, adelante, hazlo, hágalo, de acuerdo, confirmo,"
            " lo confirmo, confirmado, desde luego"
        ),
        "it": _phrases(
            "sì, si, sì grazie, sì per favore, certo, certamente, va bene, procedi, proceda, fallo, lo faccia,"
            " fai pure, faccia pure, d'accordo, confermo, confermato, assolutamente"
        ),
        "pt": _phrases(
            "sim, sim por favor, claro, claro que sim, com certeza, pode, pode fazer, pode ser, faça, faz, faça isso,"
            " vá em frente, confirmo, confirmado, de acordo"
        ),
        "nl": _phrases(
            "ja, jawel, ja graag, graag, zeker, natuurlijk, doe maar, ga je gang, doe het, absoluut, ik bevestig,"
            " bevestigd, akkoord"
        ),
        "pl": _phrases("tak, tak proszę, oczywiście, jasne, pewnie, zrób to, proszę bardzo, potwierdzam, zgoda"),
        "ru": _phrases("да, да пожалуйста, конечно, давай, давайте, сделай, сделайте, подтверждаю, согласен, согласна"),
        "uk": _phrases("так, так будь ласка, звичайно, давай, зроби, зробіть, підтверджую, згоден, згодна"),
        "cs": _phrases("ano, ano prosím, jistě, určitě, udělej to, udělejte to, potvrzuji, souhlasím"),
        "sv": _phrases("ja, ja tack, javisst, absolut, gör det, självklart, jag bekräftar"),
        "da": _phrases("ja, ja tak, selvfølgelig, gør det, bestemt, jeg bekræfter"),
        "no": _phrases("ja, ja takk, selvfølgelig, gjør det, absolutt, jeg bekrefter"),
        "fi": _phrases("kyllä, kyllä kiitos, joo, toki, tee se, ehdottomasti, vahvistan"),
        "tr": _phrases("evet, evet lütfen, tabii, tabii ki, elbette, yap, yapın, onaylıyorum"),
        "ja": _phrases("はい, はいお願いします, お願いします, ええ, うん, もちろん, いいです, いいですよ, どうぞ"),
        "zh": _phrases("是, 是的, 好, 好的, 可以, 行, 对, 当然, 没问题, 确认"),
        "ko": _phrases("네, 예, 네 부탁해요, 그래, 그래요, 물론이죠, 해 주세요, 해줘, 좋아요"),
        "ar": _phrases("نعم, أجل, نعم من فضلك, بالتأكيد, طبعا, تفضل, موافق, أؤكد"),
        "hi": _phrases("हाँ, हां, जी, जी हाँ, जी हां, ज़रूर, कर दो, कर दीजिए, ठीक है"),
    }
)
"""What is a yes by itself, by language, normalised."""

_WITH_IT: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "en": _phrases("okay, ok, please, thanks, thank you, morgan, right, well, oh, now, exactly, that's right, it"),
        "de": _phrases("okay, ok, bitte, danke, danke schön, morgan, gut, genau, na, jetzt, richtig, ach, doch"),
        "fr": _phrases("okay, ok, merci, s'il te plaît, s'il vous plaît, morgan, bien, alors, maintenant, exactement"),
        "es": _phrases("okay, ok, vale, por favor, gracias, morgan, bien, ahora, exacto"),
        "it": _phrases("okay, ok, grazie, per favore, per piacere, morgan, bene, ora, adesso, esatto"),
        "pt": _phrases("okay, ok, por favor, obrigado, obrigada, morgan, bem, agora, isso, exato"),
        "nl": _phrases("okay, oké, ok, alsjeblieft, alstublieft, dank je, dank u, morgan, goed, nu, precies"),
    }
)
"""What may stand beside it."""

_QUESTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "en": "Shall I go ahead with this: {what}?",
        "de": "Soll ich das wirklich tun: {what}?",
        "fr": "Dois-je vraiment le faire : {what} ?",
        "es": "¿Lo hago de verdad: {what}?",
        "it": "Devo davvero farlo: {what}?",
        "pt": "Posso mesmo fazer isto: {what}?",
        "nl": "Zal ik dit echt doen: {what}?",
    }
)


def consents(text: str, language: str) -> bool:
    """Whether an utterance is a yes and nothing else: with a condition, a doubt or another wish it is none.

    Args:
        text: the utterance.
        language: ISO 639-1 code; one without a list takes the English one.
    """
    words = normalise(text).split()
    code = primary_language(language)
    code = code if code in _YES else "en"
    return len(words) <= MAX_WORDS and _made_of(words, _YES[code], _WITH_IT.get(code, frozenset()), agreed=False)


def _made_of(words: list[str], yes: frozenset[str], with_it: frozenset[str], *, agreed: bool) -> bool:
    """Whether the words can be cut into known phrases without remainder, a yes among them."""
    if not words:
        return agreed
    for length in range(1, min(len(words), _LONGEST_PHRASE) + 1):
        phrase = " ".join(words[:length])
        if (phrase in yes or phrase in with_it) and _made_of(
            words[length:], yes, with_it, agreed=agreed or phrase in yes
        ):
            return True
    return False


def consent_question(template: str, tool: str, arguments: str, language: str) -> str:
    """The question that the user is asked before a tool runs.

    Args:
        template: the owner's words, with arguments by name in braces; "" for words that name the tool and all that it
            is given.
        tool: its name.
        arguments: JSON of its arguments, which fit its schema.
        language: that it is asked in, ISO 639-1.
    """
    given = json.loads(arguments or "{}")
    if template:
        # Not str.format: what a model wrote must not reach into objects.
        return re.sub(r"\{(\w+)\}", lambda found: _said(given.get(found.group(1), "")), template)
    named = re.sub(r"[_-]+", " ", tool).strip()
    parts = [f"{re.sub(r'[_-]+', ' ', name)} {_said(value)}" for name, value in given.items()]
    what = ", ".join((named, *parts))
    what = what if len(what) <= MAX_TOLD else what[: MAX_TOLD - 1].rstrip() + "…"
    return _QUESTIONS.get(primary_language(language), _QUESTIONS["en"]).format(what=what)


def _said(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(re.sub(r'[\[\]{}"]', " ", text).split())[:MAX_TOLD]
