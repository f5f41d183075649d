"""Four documents of fifty pages and more, for `bench.documents`: text, Markdown, HTML and PDF, each built its own way.

Three are real: the licences that come with the packages that Morgan is built on (text), Morgan's own documentation
(Markdown), and the reference of the Python language that comes with Python (PDF). The fourth (HTML) is the manual of a
house with forty machines, made here: every machine has the same headings and much the same sentences, as manuals have,
so that what tells one passage from another is under which heading it stands.
"""

import html
import random
from collections.abc import Iterable, Sequence
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parents[1]

LICENCES = (
    ("piper-tts", "COPYING"),
    ("soxr", "COPYING.LGPL"),
    ("hypothesis", "LICENSE.txt"),
    ("aiohttp", "LICENSE.txt"),
)
PAGES = (
    "architecture",
    "operations",
    "troubleshooting",
    "realtime",
    "browser",
    "signaling",
    "api",
    "telephone",
    "tools",
    "webhooks",
    "glossary",
    "bounds",
)
TOPICS = (
    "execmodel",
    "objects",
    "import",
    "compound",
    "assignment",
    "calls",
    "comparisons",
    "customization",
    "attribute-access",
    "context-managers",
    "raise",
    "assert",
    "global",
    "nonlocal",
    "del",
    "identifiers",
    "strings",
    "integers",
    "truth",
    "yield",
)


def licences() -> str:
    """The text of four licences, one behind the other."""
    texts = []
    for package, name in LICENCES:
        file = next(
            each for each in distribution(package).files or () if each.name == name and ".dist-info" in str(each)
        )
        texts.append(Path(str(file.locate())).read_text(encoding="utf-8"))
    return "\n\n\n".join(texts)


def documentation() -> str:
    """Morgan's own documentation in one file."""
    names = ("README.md", *(f"docs/{name}.md" for name in PAGES), "SECURITY.md", "CONTRIBUTING.md")
    return "\n\n".join((ROOT / name).read_text(encoding="utf-8") for name in names)


def language_reference() -> str:
    """Chapters of the Python language's reference."""
    from pydoc_data.topics import topics

    return "\f".join(topics[name] for name in TOPICS if name in topics)


MACHINES = (
    "Dishwasher",
    "Washing machine",
    "Tumble dryer",
    "Heat pump",
    "Oil boiler",
    "Wood stove",
    "Solar panels",
    "Battery store",
    "Water softener",
    "Ventilation system",
    "Garage door",
    "Lawn mower",
    "Hedge trimmer",
    "Pool filter",
    "Sauna",
    "Espresso machine",
    "Bread oven",
    "Refrigerator",
    "Chest freezer",
    "Ice maker",
    "Induction hob",
    "Cooker hood",
    "Food processor",
    "Vacuum robot",
    "Dehumidifier",
    "Alarm panel",
    "Door intercom",
    "Smoke detectors",
    "Sump pump",
    "Irrigation system",
    "Awning",
    "Stair lift",
    "Wine cabinet",
    "Air compressor",
    "Table saw",
    "Telescope mount",
    "Piano humidifier",
    "Electric gate",
    "Wallbox",
    "Rainwater tank",
)
_PARTS = (
    "door seal",
    "inlet sieve",
    "drive belt",
    "fan wheel",
    "float switch",
    "pressure valve",
    "sensor",
    "main fuse",
)
_AGENTS = ("warm water", "vinegar essence", "soft soap", "citric acid", "methylated spirit", "a dry microfibre cloth")
_SIGNS = ("a red light blinks twice", "a long tone is heard", "the display shows a spanner", "the lamp turns amber")
_MAKERS = ("Halvorsen", "Brandt & Sohn", "Maricourt", "Oakfield", "Tessaro", "Lindqvist", "Penrose", "Kitagawa")
_ROOMS = ("in the cellar", "in the utility room", "behind the kitchen", "in the garden shed", "in the attic")


def _machine(name: str, rng: random.Random) -> str:
    """A chapter of the manual."""
    it = name.lower()
    maker, room, year = rng.choice(_MAKERS), rng.choice(_ROOMS), rng.randint(2009, 2025)
    watts, litres, weeks = rng.randrange(120, 3900, 10), rng.randint(3, 190), rng.randint(2, 40)
    months, minutes, part, other = rng.randint(13, 90), rng.randint(3, 55), *rng.sample(_PARTS, 2)
    agent, sign, degrees = rng.choice(_AGENTS), rng.choice(_SIGNS), rng.randint(4, 92)
    phone = " ".join(str(rng.randint(10, 99)) for _ in range(4))
    codes = [f"{rng.choice('EFHU')}{number}" for number in rng.sample(range(1, 99), 5)]
    meanings = [
        ("No supply", "check the switch beside the fuse box, then hold the main button for four seconds"),
        ("Too hot", f"let it cool for {minutes} minutes with the cover open"),
        (f"The {part} is blocked", f"take the {part} out, rinse it and put it back with the mark upwards"),
        ("Lost connection", "pull the plug, wait until all lamps are dark and plug it in again"),
        (f"The {other} is worn", f"order a new {other}; until it comes the machine runs at half power"),
    ]
    rows = "".join(
        f"<tr><td>{code}</td><td>{meaning}</td><td>{remedy}</td></tr>"
        for code, (meaning, remedy) in zip(codes, meanings, strict=True)
    )
    return f"""
<h2>{html.escape(name)}</h2>
<p>It was put in by {html.escape(maker)} in {year} and stands {room}. It draws {watts} watts when it works and next to
nothing when it waits. Whoever lives in the house may use it; children under twelve only with somebody beside them.</p>
<h3>Daily use</h3>
<p>Switch it on at the front and wait until the lamp burns steadily. Never fill in more than {litres} litres at
once, and never open it while it runs. The best results come at {degrees} degrees; whoever is in a hurry may go
higher, at the cost of more power. When it has finished, {sign}.</p>
<p>Leave everything as you found it: the cover closed, the handle down, the area around it dry. Tools that belong to it
hang on the wall beside it and go back there.</p>
<h3>Cleaning and care</h3>
<p>Every {weeks} weeks the {part} is to be taken out and cleaned with {agent}. Do not use anything that scratches, and
no solvents. Dry all parts before they go back. Once a year the caretaker oils the hinges and writes the date on the
card.</p>
<h3>Faults</h3>
<p>Most faults go away when it is switched off and on again. If not, look for the code on the display:</p>
<table><tr><th>Code</th><th>Meaning</th><th>What to do</th></tr>{rows}</table>
<p>If nothing helps, turn the water and the power off and call the service.</p>
<h3>Guarantee and service</h3>
<p>The maker answers for it for {months} months from the day of the bill, which is in the blue folder. Wear of
the {other} and damage by frost are not covered. The service can be called under {phone}, on working days from
eight to five; have the number of the type plate at hand.</p>
<h3>When you leave for long</h3>
<p>Before an absence of more than {weeks + 1} weeks empty it, leave the cover open a hand's width and turn the tap to
the left. Back home let it run for {minutes + 2} minutes without anything in it before the {it} is used again.</p>"""


def manual() -> str:
    """The manual of the house, as a web page."""
    rng = random.Random(20)
    chapters = "".join(_machine(name, rng) for name in MACHINES)
    return (
        "<!doctype html><html><head><title>The house on the hill</title></head><body><nav><a href='#'>Home</a></nav>"
        f"<h1>The house on the hill</h1><p>What stands in it, and how it is used.</p>{chapters}</body></html>"
    )


def write_pdf(text: str, path: Path, title: str = "The Morgan handbook") -> int:
    """A PDF of the text, a new page behind a form feed; returns the number of pages."""
    import textwrap

    import matplotlib as mpl

    mpl.use("pdf")
    from matplotlib import pyplot
    from matplotlib.backends.backend_pdf import PdfPages

    # As text, not as outlines.
    mpl.rcParams["pdf.fonttype"] = 42
    pages = list(_pages(text.split("\f")))
    with PdfPages(path, metadata={"Title": title}) as pdf:
        for page in pages:
            figure = pyplot.figure(figsize=(8.3, 11.7))
            # A dollar sign begins a formula.
            lines = textwrap.wrap(" ".join(page).replace("$", "USD "), LINE_CHARS)
            figure.text(0.08, 0.95, "\n".join(lines), fontsize=9, va="top", family="DejaVu Sans")
            pdf.savefig(figure)
            pyplot.close(figure)
    return len(pages)


WORDS_OF_A_PAGE = 280
LINE_CHARS = 95


def _pages(parts: Iterable[str]) -> Iterable[Sequence[str]]:
    for part in parts:
        words = part.split()
        yield from (words[start : start + WORDS_OF_A_PAGE] for start in range(0, len(words), WORDS_OF_A_PAGE))


def write_all(folder: Path) -> list[Path]:
    """The four documents as files."""
    paths = [folder / name for name in ("licences.txt", "morgan.md", "house.html", "python.pdf")]
    paths[0].write_text(licences(), encoding="utf-8")
    paths[1].write_text(documentation(), encoding="utf-8")
    paths[2].write_text(manual(), encoding="utf-8")
    write_pdf(language_reference(), paths[3], "The Python language")
    return paths
