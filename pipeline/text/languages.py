"""Languages by name."""

from types import MappingProxyType
from typing import Final

_LISTED: Final = (
    "af=Afrikaans ar=Arabic az=Azerbaijani be=Belarusian bg=Bulgarian bn=Bengali bs=Bosnian ca=Catalan cs=Czech"
    " cy=Welsh da=Danish de=German el=Greek en=English es=Spanish et=Estonian eu=Basque fa=Persian fi=Finnish"
    " fr=French gl=Galician gu=Gujarati he=Hebrew hi=Hindi hr=Croatian hu=Hungarian hy=Armenian id=Indonesian"
    " is=Icelandic it=Italian ja=Japanese ka=Georgian kk=Kazakh kn=Kannada ko=Korean lt=Lithuanian lv=Latvian"
    " mk=Macedonian ml=Malayalam mn=Mongolian mr=Marathi ms=Malay ne=Nepali nl=Dutch no=Norwegian pa=Punjabi"
    " pl=Polish pt=Portuguese ro=Romanian ru=Russian sk=Slovak sl=Slovenian so=Somali sq=Albanian sr=Serbian"
    " sv=Swedish sw=Swahili ta=Tamil te=Telugu th=Thai tl=Tagalog tr=Turkish uk=Ukrainian ur=Urdu uz=Uzbek"
    " vi=Vietnamese zh=Chinese"
    " am=Amharic as=Assamese ba=Bashkir bo=Tibetan br=Breton fo=Faroese ha=Hausa haw=Hawaiian ht=Haitian_Creole"
    " jw=Javanese km=Khmer la=Latin lb=Luxembourgish ln=Lingala lo=Lao mg=Malagasy mi=Maori mt=Maltese my=Myanmar"
    " nn=Nynorsk oc=Occitan ps=Pashto sa=Sanskrit sd=Sindhi si=Sinhala sn=Shona su=Sundanese tg=Tajik tk=Turkmen"
    " tt=Tatar yi=Yiddish yo=Yoruba yue=Cantonese"
)

NAMES: Final = MappingProxyType(dict(entry.replace("_", " ").split("=") for entry in _LISTED.split()))
"""English names by the codes that Whisper knows: ISO 639-1, where a language has one."""

CODES: Final = MappingProxyType({name.lower(): code for code, name in NAMES.items()})
"""The same the other way round, by names in lower case."""
