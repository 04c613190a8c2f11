"""``redrive diagram``: draw the ways through a workflow that exploration finds, as Mermaid text or a picture."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from redrive.cli.apps import load_app, refuse_typo
from redrive.cli.cli_errors import DONE, CommandError, did_you_mean
from redrive.cli.gating import Line
from redrive.cli.loading import load_name
from redrive.codec import JsonCodec
from redrive.counting import counted
from redrive.passwords import without_password
from redrive_interpreter import Invocation, Workflow

if TYPE_CHECKING:
    from redrive import AsyncDurableService
    from redrive.ports.store import Store
    from redrive.testing.traffic import Traffic


def add_diagram(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = words.add_parser("diagram", help="draw a workflow: all that can happen in it, as Mermaid text, and how often it did")
    parser.add_argument("workflow", metavar="MODULE:WORKFLOW", help="a workflow, or a call of it that the module holds")
    parser.add_argument("--store", metavar="URL", help="count what its executions there did, ended ones too; read-only")
    parser.add_argument("--app", metavar="MODULE:SERVICE", help="the service, for its store, its types and its workflows' names")
    parser.add_argument("--limit", metavar="N", type=int, default=None, help="count the newest N executions only")
    parser.add_argument(
        "--cancels",
        type=int,
        default=None,
        metavar="N",
        help="draw cancels too, this many in one run (default: only those that the store has)",
    )
    parser.add_argument("--budget", type=int, default=20_000, metavar="N", help="at most so many states (default: 20000)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--svg", metavar="FILE", type=Path, help="write a picture instead (with the extra redrive[diagram])")
    form.add_argument("--json", action="store_true", help="boxes, arrows and counts, for programs")
    parser.set_defaults(verb=draw)


async def draw(given: argparse.Namespace) -> int:
    from redrive.testing import Violation  # only here: no other verb plays workflows
    from redrive.testing.diagrams import chart, svg
    from redrive.testing.flowcharts import flowchart

    if given.limit is not None and given.limit < 1:
        raise CommandError(f"--limit {given.limit} leaves nothing to count")
    app = None if given.app is None else load_app(given.app)
    known: Mapping[str, Workflow[..., Any]] = {} if app is None else app.workflows
    found = known[given.workflow] if given.workflow in known else _workflow(given.workflow)
    traffic = None
    if given.store is not None:
        traffic = await _traffic(found, given.store, without_password(given.store), app, given.limit)
    elif app is not None:
        traffic = await _traffic(found, app.store, app.store_name, app, given.limit)
    cancels = {} if given.cancels is None else {"cancels": given.cancels}
    try:
        drawn = chart(found, traffic, budget=given.budget, **cancels)
    except Violation as violation:
        raise CommandError(f"the workflow cannot be explored to its end: {violation.breach}", violation.test) from None
    except TypeError as error:
        raise CommandError(str(error), "redrive.testing.diagram(invocation, answers=…) draws it from a program") from None
    if given.json:
        print(json.dumps(drawn.as_json()))
        return DONE
    text = flowchart(drawn)
    if given.svg is None:
        print(text, end="")
        return DONE
    try:
        given.svg.write_text(svg(text), encoding="utf-8")
    except ImportError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{given.svg} cannot be written: {error.strerror}") from None
    return DONE


async def _traffic(
    found: Workflow[..., Any] | Invocation[Any], store: Store | str, where: str, app: AsyncDurableService | None, limit: int | None
) -> Traffic:
    """The traffic of the workflow's executions in *store*; messages call the store *where*."""
    from redrive.testing.traffic import traffic

    workflow: Workflow[..., Any] = found.workflow if isinstance(found, Invocation) else found
    if isinstance(store, str) or "://" in where:
        refuse_typo(where)
    progress = Line(sys.stderr)
    codec = JsonCodec() if app is None else app.codec
    try:
        met = await traffic(
            workflow, store, codec, limit=limit, progress=lambda count: progress.show(lambda: counted(count, "execution") + " read")
        )
    except ValueError as error:  # the URL names no store
        raise CommandError(str(error)) from None
    progress.clear()
    if met.executions:
        return met
    if not met.known:
        raise CommandError(f"there is no execution in {where} yet")
    raise CommandError(f"no execution in {where} is, or was, one of {workflow.name!r}", did_you_mean(workflow.name, met.known))


def _workflow(name: str) -> Workflow[..., Any] | Invocation[Any]:
    found = load_name(name, "module:workflow, like shop.orders:process_order", "a workflow")
    if isinstance(found, Workflow) and found.fn is None:
        raise CommandError(f"the code of workflow {found.name!r} is not here: it is known by name only")
    if not isinstance(found, (Workflow, Invocation)):
        raise CommandError(f"{name!r} is a {type(found).__name__}, not a workflow")
    return cast("Workflow[..., Any] | Invocation[Any]", found)
