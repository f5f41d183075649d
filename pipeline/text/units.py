"""Units of measurement as German, French, Spanish, Italian and Portuguese say them, singular and plural (CLDR)."""

from typing import Final, NamedTuple


class Unit(NamedTuple):
    """Names of a unit, and whether numbers in front of it are feminine."""

    one: str
    many: str
    feminine: bool = False


SYMBOLS: Final = (
    "km", "m", "cm", "mm", "kg", "g", "mg", "t", "l", "ml", "h", "min", "s", "ms", "km/h", "m/s", "°C", "°F", "kB",
    "MB", "GB", "TB", "Hz", "kHz", "MHz", "GHz", "W", "kW", "kWh", "V", "m²", "km²", "m³", "hPa", "mph",
)  # fmt: skip
"""In the order of the names below."""

ALIASES: Final = {
    "KB": "kB", "L": "l", "mL": "ml", "m2": "m²", "m3": "m³", "km2": "km²", "Std.": "h", "Min.": "min", "Sek.": "s",
    "sec": "s", "ko": "kB", "Mo": "MB", "Go": "GB", "To": "TB",
}  # fmt: skip

_NAMES: Final = {
    "de": "Kilometer|Meter|Zentimeter|Millimeter|Kilogramm|Gramm|Milligramm|Tonne,Tonnen+|Liter|Milliliter|"
    "Stunde,Stunden+|Minute,Minuten+|Sekunde,Sekunden+|Millisekunde,Millisekunden+|Kilometer pro Stunde|"
    "Meter pro Sekunde|Grad Celsius|Grad Fahrenheit|Kilobyte|Megabyte|Gigabyte|Terabyte|Hertz|Kilohertz|Megahertz|"
    "Gigahertz|Watt|Kilowatt|Kilowattstunde,Kilowattstunden+|Volt|Quadratmeter|Quadratkilometer|Kubikmeter|"
    "Hektopascal|Meile pro Stunde,Meilen pro Stunde+",
    "fr": "kilomètre,kilomètres|mètre,mètres|centimètre,centimètres|millimètre,millimètres|kilogramme,kilogrammes|"
    "gramme,grammes|milligramme,milligrammes|tonne,tonnes+|litre,litres|millilitre,millilitres|heure,heures+|"
    "minute,minutes+|seconde,secondes+|milliseconde,millisecondes+|kilomètre par heure,kilomètres par heure|"
    "mètre par seconde,mètres par seconde|degré Celsius,degrés Celsius|degré Fahrenheit,degrés Fahrenheit|"
    "kilooctet,kilooctets|mégaoctet,mégaoctets|gigaoctet,gigaoctets|téraoctet,téraoctets|hertz|kilohertz|mégahertz|"
    "gigahertz|watt,watts|kilowatt,kilowatts|kilowatt-heure,kilowatt-heures|volt,volts|mètre carré,mètres carrés|"
    "kilomètre carré,kilomètres carrés|mètre cube,mètres cubes|hectopascal,hectopascals|"
    "mile par heure,miles par heure",
    "es": "kilómetro,kilómetros|metro,metros|centímetro,centímetros|milímetro,milímetros|kilogramo,kilogramos|"
    "gramo,gramos|miligramo,miligramos|tonelada,toneladas+|litro,litros|mililitro,mililitros|hora,horas+|"
    "minuto,minutos|segundo,segundos|milisegundo,milisegundos|kilómetro por hora,kilómetros por hora|"
    "metro por segundo,metros por segundo|grado Celsius,grados Celsius|grado Fahrenheit,grados Fahrenheit|"
    "kilobyte,kilobytes|megabyte,megabytes|gigabyte,gigabytes|terabyte,terabytes|hercio,hercios|"
    "kilohercio,kilohercios|megahercio,megahercios|gigahercio,gigahercios|vatio,vatios|kilovatio,kilovatios|"
    "kilovatio hora,kilovatios hora|voltio,voltios|metro cuadrado,metros cuadrados|"
    "kilómetro cuadrado,kilómetros cuadrados|metro cúbico,metros cúbicos|hectopascal,hectopascales|"
    "milla por hora,millas por hora+",
    "it": "chilometro,chilometri|metro,metri|centimetro,centimetri|millimetro,millimetri|chilogrammo,chilogrammi|"
    "grammo,grammi|milligrammo,milligrammi|tonnellata,tonnellate+|litro,litri|millilitro,millilitri|ora,ore+|"
    "minuto,minuti|secondo,secondi|millisecondo,millisecondi|chilometro orario,chilometri orari|"
    "metro al secondo,metri al secondo|grado Celsius,gradi Celsius|grado Fahrenheit,gradi Fahrenheit|kilobyte|"
    "megabyte|gigabyte|terabyte|hertz|kilohertz|megahertz|gigahertz|watt|kilowatt|chilowattora|volt|"
    "metro quadrato,metri quadrati|chilometro quadrato,chilometri quadrati|metro cubo,metri cubi|ettopascal|"
    "miglio all'ora,miglia all'ora",
    "pt": "quilômetro,quilômetros|metro,metros|centímetro,centímetros|milímetro,milímetros|quilograma,quilogramas|"
    "grama,gramas|miligrama,miligramas|tonelada,toneladas+|litro,litros|mililitro,mililitros|hora,horas+|"
    "minuto,minutos|segundo,segundos|milissegundo,milissegundos|quilômetro por hora,quilômetros por hora|"
    "metro por segundo,metros por segundo|grau Celsius,graus Celsius|grau Fahrenheit,graus Fahrenheit|"
    "kilobyte,kilobytes|megabyte,megabytes|gigabyte,gigabytes|terabyte,terabytes|hertz|kilohertz|megahertz|"
    "gigahertz|watt,watts|quilowatt,quilowatts|quilowatt-hora,quilowatts-hora|volt,volts|"
    "metro quadrado,metros quadrados|quilômetro quadrado,quilômetros quadrados|metro cúbico,metros cúbicos|"
    "hectopascal,hectopascais|milha por hora,milhas por hora+",
}
"""Singular and plural; one word where they are the same; "+" for feminine ones."""


def _units(names: str) -> dict[str, Unit]:
    found: dict[str, Unit] = {}
    for symbol, name in zip(SYMBOLS, names.split("|"), strict=True):
        one, _, many = name.rstrip("+").partition(",")
        found[symbol] = Unit(one, many or one, name.endswith("+"))
    return found | {alias: found[symbol] for alias, symbol in ALIASES.items()}


UNITS: Final = {language: _units(names) for language, names in _NAMES.items()}
"""By language (ISO 639-1) and symbol."""
