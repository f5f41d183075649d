"""Writes the state diagram in architecture.md from `TRANSITIONS`: `python docs/write_state_diagram.py [--check]`.

What stands between the two marks in the page is replaced: a mermaid diagram of the table in pipeline/call/state.py,
and what each trigger means, from the docstrings in `Trigger`.
"""

import ast
import inspect
import itertools
import sys
from pathlib import Path

from pipeline.call.state import TRANSITIONS, Phase, Trigger

PAGE = Path(__file__).with_name("architecture.md")
BEGIN = "<!-- written by docs/write_state_diagram.py from pipeline/call/state.py -->\n"
END = "<!-- end of what is written -->\n"


def section() -> str:
    """The diagram, and the tables of phases and triggers."""
    told = "".join(
        f"| `{phase.value}` | `{phase.state.value}` |\n" for phase in Phase if phase.value != phase.state.value
    )
    return (
        f"```mermaid\n{_diagram()}```\n\n| phase | of the state |\n|---|---|\n{told}\n"
        f"| trigger | |\n|---|---|\n{_triggers()}"
    )


def page() -> str:
    """The page with the section in its place."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{section()}\n{END}{after}"


def _diagram() -> str:
    """`stateDiagram-v2`: one arrow for each pair of states; what leads out of every state begins at the frame."""
    anywhere = {(trigger, target) for (_, trigger), target in TRANSITIONS.items() if _from_everywhere(trigger, target)}
    arrows: dict[tuple[Phase, Phase], list[str]] = {}
    for (source, trigger), target in TRANSITIONS.items():
        if (trigger, target) not in anywhere:
            arrows.setdefault((source, target), []).append(trigger.value)
    lines = ["stateDiagram-v2", "    state call {", f"        [*] --> {Phase.CONNECTING.value}"]
    lines += [
        f"        {source.value} --> {target.value}: {', '.join(names)}" for (source, target), names in arrows.items()
    ]
    lines.append("    }")
    lines += [f"    call --> {target.value}: {trigger.value}" for trigger, target in sorted(anywhere, key=str)]
    lines.append(f"    {Phase.ENDED.value} --> [*]")
    return "\n".join(lines) + "\n"


def _from_everywhere(trigger: Trigger, target: Phase) -> bool:
    return all(TRANSITIONS.get((phase, trigger)) is target for phase in Phase if phase is not target)


def _triggers() -> str:
    body = ast.parse(inspect.getsource(Trigger)).body[0]
    assert isinstance(body, ast.ClassDef)
    rows = []
    for assigned, described in itertools.pairwise(body.body):
        if isinstance(assigned, ast.Assign) and isinstance(described, ast.Expr):
            about = " ".join(str(ast.literal_eval(described.value)).split())
            rows.append(f"| `{ast.literal_eval(assigned.value)}` | {about} |\n")
    return "".join(rows)


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit(f"{PAGE} is stale: run python docs/write_state_diagram.py")
