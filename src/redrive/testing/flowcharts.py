"""A chart as Mermaid text. Words and numbers repeat the information of colours and dashes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from redrive.testing.charts import Chart, Count, shown
from redrive.testing.labels import BEGIN, Box

_LOOKS: Final = (
    "classDef undo stroke-dasharray: 4 3",
    "classDef good stroke-width: 3px",
    "classDef bad stroke-width: 3px, stroke-dasharray: 1 3",
)
_CASE: Final = "classDef case fill:#f6f6f6,stroke:#8a8a8a,color:#555555,stroke-dasharray: 2 4"
_SHARES: Final = (
    (0.5, "most", "half of them or more"),
    (0.1, "many", "a tenth or more"),
    (0.01, "some", "a hundredth or more"),
    (0.0, "few", "less than a hundredth"),
)
_COLOURS: Final = {
    "most": "fill:#1d5fa8,stroke:#123d6d,color:#ffffff",
    "many": "fill:#6aa5da,stroke:#1d5fa8,color:#0b1b2b",
    "some": "fill:#bcd8f0,stroke:#1d5fa8,color:#0b1b2b",
    "few": "fill:#eaf3fb,stroke:#1d5fa8,color:#0b1b2b",
    "never": "fill:#f6f6f6,stroke:#8a8a8a,color:#555555",
    "found": "fill:#fff1dc,stroke:#b4500b,color:#3b1a00",
}
_IDS: Final = 3


def flowchart(chart: Chart) -> str:
    """*chart* as a Mermaid flowchart."""
    names = {box: "begin" if box == BEGIN else f"s{number - 1}" for number, box in enumerate(chart.boxes)}
    boxes = [f"{names[box]}{_shape(box, _inside(chart, box, count))}" for box, count in chart.boxes.items() if box != BEGIN]
    arrows = list(_arrows(chart, names))
    first = [line for line, _ in arrows if line.startswith("begin")]
    rest = [line for line, _ in arrows if not line.startswith("begin")]
    if first:
        first[0] = first[0].replace("begin", f'begin(("{_begins(chart)}"))', 1)
    found = [str(n) for n, line in enumerate([*first, *rest]) if (line, False) in arrows]
    more = [] if chart.complete else ["more[/not all of it was explored/]"]
    notes = [f'note{n}[/"{note}"/]' for n, note in enumerate(_notes(chart))]
    colours = [] if chart.of is None else list(_colours(chart, chart.of, names))
    if found:
        colours.append(f"linkStyle {','.join(found)} stroke:#b4500b")
    lines = [*first, *boxes, *rest, *_untaken(chart, names), *more, *notes, *_LOOKS, *([_CASE] if chart.untaken else []), *colours]
    return "\n".join(["flowchart TD", *(f"  {line}" for line in lines)]) + "\n"


# ── boxes ───────────────────────────────────────────────────────────────────────────────────────
def _begins(chart: Chart) -> str:
    title = escaped(chart.title)
    if chart.of is None:
        return title
    read = chart.of + sum(len(ids) for _, ids in chart.misfits)
    which = "the newest " if chart.cut else ""
    return f"{title}<br/>{which if read == chart.of else f'{chart.of:,} of {which}'}{_executions(read)}"


def _inside(chart: Chart, box: Box, count: Count) -> str:
    lines = [escaped(line) for line in shown(box, count)]
    again = [f"stays after {_label(chart, label, c)}" for label, c in _loops(chart, box)]
    if chart.of is None:
        return "<br/>".join([*lines, *again])
    said = [f"{count.passed:,} {'ended so' if box.look in ('good', 'bad') else 'came'}" if count.passed else "never"]
    said += [f"{count.here:,} {'is' if count.here == 1 else 'are'} here now"] if count.here else []
    said += [f"{count.failed:,} failed here"] if count.failed else []
    said += [] if count.explored else ["not explored"]
    return "<br/>".join([*lines, " · ".join(said), *again])


def _loops(chart: Chart, box: Box) -> Iterator[tuple[str, Count]]:
    """The moves from a box to itself, as text in the box: an arrow would cross its neighbours.

    Early signals are left out.
    """
    for (before, label, after), count in chart.arrows.items():
        early = label.startswith("signal ") and not count.passed
        if before == after == box and not early:
            yield label, count


def _shape(box: Box, text: str) -> str:
    match box.look:
        case "step":
            return f'["{text}"]'
        case "waits":
            return f'{{{{"{text}"}}}}'
        case "undo":
            return f'["{text}"]:::undo'
        case _:
            return f'(["{text}"]):::{box.look}'


# ── arrows ──────────────────────────────────────────────────────────────────────────────────────
def _arrows(chart: Chart, names: dict[Box, str]) -> Iterator[tuple[str, bool]]:
    """Each arrow with all its moves, and whether exploration found any of them."""
    together: dict[tuple[Box, Box], dict[str, Count]] = {}
    for (before, label, after), count in chart.arrows.items():
        if before == after:
            continue
        together.setdefault((before, after), {})[label] = count
    for (before, after), labels in together.items():
        texts = [text for label, count in labels.items() if (text := _label(chart, label, count))]
        line = _line(chart, max(count.passed for count in labels.values()))
        about = f"|{'<br/>'.join(texts)}|" if texts else ""
        yield f"{names[before]} {line}{about} {names[after]}", any(count.explored for count in labels.values())


def _label(chart: Chart, label: str, count: Count) -> str:
    if chart.of is None:
        return escaped(label)
    said = [escaped(label), f"{count.passed:,}" if count.passed else "never", "" if count.explored else "not explored"]
    return " · ".join(part for part in said if part)


def _line(chart: Chart, passed: int) -> str:
    if chart.of is None:
        return "-->"
    return "-.->" if not passed else "==>" if passed * 2 >= chart.of else "-->"


def _untaken(chart: Chart, names: dict[Box, str]) -> Iterator[str]:
    cases: dict[tuple[str, Box], str] = {}
    for before, case, does in chart.untaken:
        if (case, does) not in cases:
            cases[case, does] = f"u{len(cases)}"
            yield f'{cases[case, does]}["{escaped(does.lines[0])}"]:::case'
        yield f"{names[before]} -.->|{escaped(case)} · never taken| {cases[case, does]}"


# ── what is said about all of it ────────────────────────────────────────────────────────────────
def _notes(chart: Chart) -> Iterator[str]:
    for why, ids in chart.misfits:
        more = f" and {len(ids) - _IDS:,} more" if len(ids) > _IDS else ""
        which = escaped(", ".join(ids[:_IDS])) + more
        yield f"not counted, for today's code does not fit:<br/>{_executions(len(ids))} ({which})<br/>{escaped(_short(why))}"


def _colours(chart: Chart, of: int, names: dict[Box, str]) -> Iterator[str]:
    looks: dict[str, list[str]] = {}
    for box, count in chart.boxes.items():
        looks.setdefault(_look(count, of), []).append(names[box])
    legend = {name: text for _, name, text in _SHARES} | {"never": "never", "found": "came, and exploration did not find it"}
    used = [name for name in legend if name in looks]
    yield f'subgraph legend["of {_executions(of)}"]'
    for name in used:
        yield f'  l_{name}["{legend[name]}"]:::{name}'
    yield "end"
    yield "style legend fill:none,stroke:#8a8a8a"
    for name in used:
        yield f"classDef {name} {_COLOURS[name]}"
        yield f"class {','.join(looks[name])} {name}"


def _look(count: Count, of: int) -> str:
    if not count.explored:
        return "found"
    if not count.passed:
        return "never"
    return next(name for least, name, _ in _SHARES if count.passed >= least * of)


def _executions(count: int) -> str:
    return f"{count:,} execution{'' if count == 1 else 's'}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else line[:119] + "…"


def escaped(text: str) -> str:
    for char, code in (("#", "#35;"), ('"', "#quot;"), ("|", "#124;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(char, code)
    text = re.sub(r"[\[\]{}()`]", lambda found: f"#{ord(found.group())};", text)
    return re.sub(r"\s", " ", text)
