"""`redrive inspect`: the source line, scopes and locals where an execution stands, at any row of its history."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from redrive.cli.cli_errors import DONE, CommandError
from redrive.cli.client import client_for
from redrive.cli.colors import Colors, colors_for, visible
from redrive.cli.formatting import brief, plain, when

if TYPE_CHECKING:
    from datetime import datetime

    from redrive.inspecting import InspectedFiber, InspectedFrame, InspectedValue, Inspection

Add = Callable[..., argparse.ArgumentParser]
_WIDTH = 100


def add_inspecting(add: Add) -> None:
    """*add* makes the parser of a command that asks a store."""
    inspect = add("inspect", "where an execution stands in its source, and with which locals", inspected)
    inspect.add_argument("id")
    inspect.add_argument("--row", type=int, help="after this row of its history, the first being 1 (default: the last one)")
    inspect.add_argument("--run", type=int, default=-1, help="1 is the first, -1 (the default) the newest")


async def inspected(given: argparse.Namespace) -> int:
    async with client_for(given) as client:
        await client.snapshot(given.id)
        try:
            found = await client.service.execution(given.id).inspect(given.row, run=given.run)
        except ValueError as error:
            raise CommandError(str(error)) from None
        now = await client.store.now()
    if given.json:
        print(json.dumps(plain(found)))
    else:
        print("\n".join(page(found, now, colors_for(sys.stdout))))
    return DONE


def page(found: Inspection, now: datetime, colors: Colors) -> list[str]:
    """*found* as text: each fiber with its generators, the source around the innermost one, and all locals."""
    head = f"{colors('bold', visible(found.id))}  {visible(found.workflow)}  after row {found.row} of {found.rows}"
    head += f", run {found.number}" if found.number > 1 else ""
    lines = [head + (f", {when(found.at, now)}" if found.at is not None else "")]
    if found.ended:
        lines.append(f"  the next turn ended it: {found.ended}")
    if found.problem:
        lines += [f"  {colors('red', visible(line))}" for line in found.problem.splitlines()]
    for fiber in found.fibers:
        lines += ["", *_fiber(fiber, colors)]
    if found.more_fibers:
        lines += ["", f"and {found.more_fibers:,} more branches"]
    return lines


def _fiber(fiber: InspectedFiber, colors: Colors) -> list[str]:
    name = visible(fiber.scope) or "the workflow"
    lines = [colors("cyan", name) + (f"  waits for {visible(fiber.waits_for)}" if fiber.waits_for else "")]
    for frame in fiber.frames:
        lines += _frame(frame, colors, innermost=frame is fiber.frames[-1])
    return lines


def _frame(frame: InspectedFrame, colors: Colors, *, innermost: bool) -> list[str]:
    lines = [f"  {visible(_relative(frame.file))}:{frame.line} in {visible(frame.function)}"]
    if innermost:
        for number, text in frame.source:
            line = f"  {'→' if number == frame.line else ' '} {number:>4}  {visible(text)}"
            lines.append(line if number == frame.line else colors("dim", line))
    elif frame.text:
        lines.append(f"  → {frame.line:>4}  {visible(frame.text)}")
    lines += [f"      {_local(one)}" for one in frame.locals]
    return lines


def _local(one: InspectedValue) -> str:
    shown = f"<{one.type}>" if one.withheld else brief(one.value, _WIDTH)
    return visible(f"{one.name} = {shown}")


def _relative(file: str) -> str:
    """*file* relative to the working directory, if it is below it."""
    here = os.getcwd() + os.sep
    return file.removeprefix(here)
