"""English readings of measures: units, durations, inches, angles, blood pressure."""

import re
from typing import Final

from pipeline.text import numbers
from pipeline.text.reading import POINT_NUMBER, Match, Reader, Rule

_UNITS: Final[dict[str, tuple[str, str]]] = {
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"),
    "m/s²": ("meter per second squared", "meters per second squared"),
    "km/s": ("kilometer per second", "kilometers per second"),
    "mg/dL": ("milligram per deciliter", "milligrams per deciliter"),
    "mmHg": ("millimeter of mercury", "millimeters of mercury"),
    "mpg": ("mile per gallon", "miles per gallon"),
    "gal": ("gallon", "gallons"),
    "qt": ("quart", "quarts"),
    "tsp": ("teaspoon", "teaspoons"),
    "tbsp": ("tablespoon", "tablespoons"),
    "sq. ft": ("square foot", "square feet"),
    "cu. ft": ("cubic foot", "cubic feet"),
    "cu ft": ("cubic foot", "cubic feet"),
    "m/s": ("meter per second", "meters per second"),
    "km²": ("square kilometer", "square kilometers"),
    "km2": ("square kilometer", "square kilometers"),
    "m²": ("square meter", "square meters"),
    "m2": ("square meter", "square meters"),
    "m³": ("cubic meter", "cubic meters"),
    "cm³": ("cubic centimeter", "cubic centimeters"),
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "µm": ("micrometer", "micrometers"),
    "nm": ("nanometer", "nanometers"),
    "m": ("meter", "meters"),
    "mi": ("mile", "miles"),
    "ft": ("foot", "feet"),
    "yd": ("yard", "yards"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "µg": ("microgram", "micrograms"),
    "g": ("gram", "grams"),
    "lbs": ("pound", "pounds"),
    "lb": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ml": ("milliliter", "milliliters"),
    "mL": ("milliliter", "milliliters"),
    "cl": ("centiliter", "centiliters"),
    "l": ("liter", "liters"),
    "L": ("liter", "liters"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "℃": ("degree Celsius", "degrees Celsius"),
    "℉": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "MW": ("megawatt", "megawatts"),
    "kW": ("kilowatt", "kilowatts"),
    "W": ("watt", "watts"),
    "V": ("volt", "volts"),
    "mAh": ("milliamp hour", "milliamp hours"),
    "GHz": ("gigahertz", "gigahertz"),
    "MHz": ("megahertz", "megahertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "Hz": ("hertz", "hertz"),
    "dB": ("decibel", "decibels"),
    "TB": ("terabyte", "terabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "MB": ("megabyte", "megabytes"),
    "KB": ("kilobyte", "kilobytes"),
    "kB": ("kilobyte", "kilobytes"),
    "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"),
    "kcal": ("kilocalorie", "kilocalories"),
    "hrs": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "h": ("hour", "hours"),
    "mins": ("minute", "minutes"),
    "min": ("minute", "minutes"),
    "secs": ("second", "seconds"),
    "sec": ("second", "seconds"),
    "ms": ("millisecond", "milliseconds"),
    "s": ("second", "seconds"),
    "%": ("percent", "percent"),
    "ha": ("hectare", "hectares"),
    "sq ft": ("square foot", "square feet"),
    "fl oz": ("fluid ounce", "fluid ounces"),
    "MB/s": ("megabyte per second", "megabytes per second"),
    "GB/s": ("gigabyte per second", "gigabytes per second"),
    "rpm": ("revolution per minute", "revolutions per minute"),
    "bpm": ("beat per minute", "beats per minute"),
    "fps": ("frame per second", "frames per second"),
    "psi": ("pound per square inch", "pounds per square inch"),
    "ppm": ("part per million", "parts per million"),
    "hPa": ("hectopascal", "hectopascals"),
    "kPa": ("kilopascal", "kilopascals"),
    "kJ": ("kilojoule", "kilojoules"),
    "mV": ("millivolt", "millivolts"),
    "kV": ("kilovolt", "kilovolts"),
    "mA": ("milliampere", "milliamperes"),
    "GW": ("gigawatt", "gigawatts"),
    "mW": ("milliwatt", "milliwatts"),
    "px": ("pixel", "pixels"),
    "µs": ("microsecond", "microseconds"),
    "μs": ("microsecond", "microseconds"),
    "μm": ("micrometer", "micrometers"),
    "μg": ("microgram", "micrograms"),
    "ns": ("nanosecond", "nanoseconds"),
    "PB": ("petabyte", "petabytes"),
    "kbps": ("kilobit per second", "kilobits per second"),
    "Ω": ("ohm", "ohms"),
    "kΩ": ("kiloohm", "kiloohms"),
    "in²": ("square inch", "square inches"),
    "L/min": ("liter per minute", "liters per minute"),
    "cal": ("calorie", "calories"),
    "Wh": ("watt hour", "watt hours"),
    "kt": ("knot", "knots"),
}
_UNIT: Final = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_MEASURE: Final = re.compile(
    rf"(?P<number>{POINT_NUMBER})(?P<gap>[ \u00a0\u202f-]?)(?P<unit>{_UNIT})(?![\w²³])(?:\.(?=\s+[a-z]|\s*,))?"
)
_PER: Final = re.compile(
    r"(?<=\w)/(?P<unit>second|sec|minute|min|hour|hr|h|day|night|week|month|mo|year|yr|person|kg|km|s)\b"
)
_PER_WORDS: Final = {
    "sec": "second", "s": "second", "min": "minute", "hr": "hour", "h": "hour", "mo": "month", "yr": "year",
    "kg": "kilogram", "km": "kilometer",
}  # fmt: skip


def _read_measure(match: Match, reader: Reader) -> bool:
    unit = match["unit"]
    if unit == "s" and not match["gap"]:
        return False  # "1980s", "80s"
    spoken = reader.number(match["number"])
    if spoken is None:
        return False
    singular = match["number"] == "1" or match["gap"] == "-" or reader.counts_as_one
    reader.say(spoken, match, "number")
    reader.say(_UNITS[unit][0 if singular else 1], match, "unit")
    return True


_INCHES: Final = re.compile(
    rf"(?P<number>{POINT_NUMBER})(?:\s?in(?:\.(?=\s+[a-z]|\s*,)|(?=\s*(?:[.,;:!?)]|$)))|(?P<mark>[\"″]))(?![\w\"″])"
)
_DURATION: Final = re.compile(
    r"(?:(?P<hours>\d{1,3})h\s?(?P<minutes>\d{1,2})(?:m(?:in)?)?(?:\s?(?P<seconds>\d{1,2})s(?:ec)?)?"
    r"|(?P<more>\d{1,3})m\s?(?P<rest>\d{1,2})s)(?!\w)"
)
_ANGLE: Final = re.compile(
    r"(?P<degrees>\d{1,3})°\s?(?P<minutes>\d{1,2})[′'’](?:\s?(?P<seconds>\d{1,2}(?:\.\d{1,6})?)(?:″|\"|”))?"
    r"(?:\s?(?P<side>[NSEW])(?!\w))?"
)
_SIDES: Final = {"N": "north", "S": "south", "E": "east", "W": "west", None: ""}
_PRESSURE: Final = re.compile(r"(?P<high>\d{2,3})/(?P<low>\d{2,3})(?P<unit>\s?mmHg)?(?![\w/]|[.,]\d)")
_PRESSURE_CUE: Final = re.compile(r"\bpressure\b[^.!?]{0,24}\Z")


def _read_inches(match: Match, reader: Reader) -> bool:
    """A straight quotation mark stands for inches where it does not close a quotation."""
    if match["mark"] == '"' and match.string.count('"', 0, match.start()) % 2:
        return False
    one = match["number"] == "1" or reader.counts_as_one
    reader.say(f"{reader.number(match['number'])} {'inch' if one else 'inches'}", match)
    return True


def _counted(number: str, unit: str, *, one: bool = False) -> str:
    return f"{numbers.cardinal(int(number), 'en')} {unit}{'' if one or int(number) == 1 else 's'}"


def _read_duration(match: Match, reader: Reader) -> bool:
    one = reader.counts_as_one
    parts = ((match["hours"], "hour"), (match["minutes"] or match["more"], "minute"),
             (match["seconds"] or match["rest"], "second"))  # fmt: skip
    reader.say(" ".join(_counted(number, unit, one=one) for number, unit in parts if number), match)
    return True


def _read_angle(match: Match, reader: Reader) -> bool:
    said = [_counted(match["degrees"], "degree"), _counted(match["minutes"], "minute")]
    if match["seconds"]:
        said.append(f"{reader.number(match['seconds'])} seconds")
    reader.say(" ".join([*said, _SIDES[match["side"]]]), match)
    return True


def _read_pressure(match: Match, reader: Reader) -> bool:
    if not match["unit"] and not _PRESSURE_CUE.search(match.string[max(0, match.start() - 40) : match.start()]):
        return False
    unit = " millimeters of mercury" if match["unit"] else ""
    reader.say(f"{reader.number(match['high'])} over {reader.number(match['low'])}{unit}", match)
    return True


def _read_per(match: Match, reader: Reader) -> bool:
    reader.say(f"per {_PER_WORDS.get(match['unit'], match['unit'])}", match)
    return True


UNIT_RULES: Final[tuple[Rule, ...]] = (
    (_PRESSURE, _read_pressure),
    (_ANGLE, _read_angle),
    (_DURATION, _read_duration),
    (_INCHES, _read_inches),
    (_MEASURE, _read_measure),
    (_PER, _read_per),
)
