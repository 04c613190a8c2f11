"""Charts: boxes and arrows as exploration found them, with the traffic of production over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from redrive.testing import labels
from redrive.testing.explore import Explored
from redrive.testing.labels import BEGIN, Box, box_of
from redrive.testing.traffic import Traffic

Arrow: TypeAlias = tuple[Box, str, Box]


@attrs.define
class Count:
    """The numbers of executions that passed here, stand here now, or had something fail here for good.

    *explored*: exploration found it. *loosely*: production was here, at other times of day or with other delays.
    """

    passed: int = 0
    here: int = 0
    failed: int = 0
    explored: bool = True
    loosely: bool = False


@attrs.define
class Chart:
    """The boxes and arrows of a drawing. *untaken* are cases that nothing ever chose: the box before, the case, its branch.

    *of* is the number of executions that are counted; None without traffic.
    """

    title: str
    complete: bool
    boxes: dict[Box, Count] = attrs.field(factory=dict[Box, Count])
    arrows: dict[Arrow, Count] = attrs.field(factory=dict[Arrow, Count])
    untaken: list[Arrow] = attrs.field(factory=list[Arrow])
    of: int | None = None
    cut: bool = False
    misfits: list[tuple[str, list[str]]] = attrs.field(factory=list[tuple[str, list[str]]])

    def keep(self, plain: Chart) -> None:
        """Leave out boxes and arrows that no execution passed, unless *plain* has them too."""
        self.arrows = {arrow: count for arrow, count in self.arrows.items() if count.passed or arrow in plain.arrows}
        self.boxes = {box: count for box, count in self.boxes.items() if count.passed or box in plain.boxes}

    def as_json(self) -> dict[str, Any]:
        numbers = {box: number for number, box in enumerate(self.boxes)}
        made: dict[str, Any] = {
            "workflow": self.title,
            "complete": self.complete,
            "boxes": [
                {"lines": [self.title] if box == BEGIN else list(shown(box, count)), "look": box.look, **self._counts(count)}
                for box, count in self.boxes.items()
            ],
            "arrows": [
                {"from": numbers[before], "label": label, "to": numbers[after], **self._counts(count, arrow=True)}
                for (before, label, after), count in self.arrows.items()
            ],
            "untaken": [{"from": numbers[before], "case": case, "would": list(after.lines)} for before, case, after in self.untaken],
        }
        if self.of is not None:
            misfits = [{"why": why, "executions": ids} for why, ids in self.misfits]
            made |= {"executions": self.of, "more": self.cut, "misfits": misfits}
        return made

    def _counts(self, count: Count, *, arrow: bool = False) -> dict[str, Any]:
        if self.of is None:
            return {}
        more = {} if arrow else {"here": count.here, "failed": count.failed}
        return {"passed": count.passed, **more, "explored": count.explored}


def shown(box: Box, count: Count) -> tuple[str, ...]:
    return box.loosely or box.lines if count.loosely else box.lines


def charted(explored: Explored, title: str, traffic: Traffic | None = None) -> Chart:
    """*explored*, and *traffic* over it."""
    chart = Chart(title, explored.complete)
    states = {state: box_of(explored.asking.get(state, {}), explored.marks.get(state)) for state in range(explored.states)}
    chart.boxes[BEGIN] = Count()
    for box in states.values():
        chart.boxes.setdefault(box, Count())
    if states:
        chart.arrows[BEGIN, explored.begins, states[0]] = Count()
    for before, label, after in explored.edges:
        if label.startswith(labels.NEXT_ATTEMPT):
            continue  # a failed attempt implies that another follows
        chart.arrows.setdefault((states[before], label, states[after]), Count())
    if traffic is not None:
        _lay(traffic, chart)
    taken = {case for _, label, _ in chart.arrows for case in label.split(", ")}
    for state, case, does in explored.untaken:
        arrow = states.get(state, BEGIN), case, Box((does,), "case")
        if case not in taken and arrow not in chart.untaken:
            chart.untaken.append(arrow)
    return chart


def _lay(traffic: Traffic, chart: Chart) -> None:
    chart.of, chart.cut = traffic.counted, traffic.cut
    chart.misfits = [(f"{g.problem.cause}: {g.problem.detail}".rstrip(": "), g.ids) for g in traffic.misfits.values()]
    meant = _Meant(chart.boxes)
    for trail, count in traffic.trails.items():
        for box in {meant[box] for box in trail.boxes}:
            chart.boxes.setdefault(box, Count(explored=False)).passed += count
        for box in {meant[box] for box in trail.failed}:
            chart.boxes[box].failed += count
        if trail.here is not None:
            chart.boxes[meant[trail.here]].here += count
        for arrow in {(meant[before], label, meant[after]) for before, label, after in trail.arrows}:
            chart.arrows.setdefault(arrow, Count(explored=False)).passed += count


class _Meant(dict[Box, Box]):
    """Production's boxes as those of exploration: where the times differ, the only box that is the same but for them."""

    def __init__(self, explored: Mapping[Box, Count]) -> None:
        super().__init__()
        self._explored = dict(explored)

    def __missing__(self, box: Box) -> Box:
        found = next(self._candidates(box), box.loose)
        self[box] = found
        return found

    def _candidates(self, box: Box) -> Iterator[Box]:
        if box in self._explored:
            yield box
        alike = [known for known in self._explored if known.loose == box.loose]
        if len(alike) == 1:
            self._explored[alike[0]].loosely = True
            yield alike[0]
