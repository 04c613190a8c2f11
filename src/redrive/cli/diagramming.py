"""``redrive diagram``: what exploration finds in a workflow, as Mermaid text or a picture."""

from __future__ import annotations

import argparse
import functools
import importlib
import sys
from pathlib import Path
from typing import Any

from redrive.cli.complaints import DONE, Complaint
from redrive_interpreter import Invocation, Workflow


def add_diagram(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = words.add_parser("diagram", help="draw a workflow: all that can happen in it, as Mermaid text")
    parser.add_argument("workflow", metavar="MODULE:WORKFLOW", help="a workflow, or a call of it that the module holds")
    parser.add_argument("--cancels", type=int, default=0, metavar="N", help="draw cancels too, this many in one run (default: 0)")
    parser.add_argument("--budget", type=int, default=20_000, metavar="N", help="at most so many states (default: 20000)")
    parser.add_argument("--svg", metavar="FILE", type=Path, help="write a picture instead (with the extra redrive[diagram])")
    parser.set_defaults(verb=draw)


async def draw(given: argparse.Namespace) -> int:
    from redrive.testing import Violation, diagram  # only here: no other verb plays workflows
    from redrive.testing.diagrams import svg

    found = _workflow(given.workflow)
    try:
        text = diagram(found, cancels=given.cancels, budget=given.budget)
    except Violation as violation:
        raise Complaint(f"the workflow cannot be explored to its end: {violation.breach}", violation.test) from None
    except TypeError as error:
        raise Complaint(str(error), "redrive.testing.diagram(invocation, answers=…) draws it from a program") from None
    if given.svg is None:
        print(text, end="")
        return DONE
    try:
        given.svg.write_text(svg(text), encoding="utf-8")
    except ImportError as error:
        raise Complaint(str(error)) from None
    except OSError as error:
        raise Complaint(f"{given.svg} cannot be written: {error.strerror}") from None
    return DONE


def _workflow(name: str) -> Workflow[..., Any] | Invocation[Any]:
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise Complaint(f"{name!r} does not name a workflow", "write module:workflow, like shop.orders:process_order")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found = functools.reduce(getattr, attribute.split("."), importlib.import_module(module_name))
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise
        raise Complaint(f"there is no module {module_name!r}", f"looked in {Path.cwd()} and where Python looks") from None
    except AttributeError:
        raise Complaint(f"module {module_name!r} has no {attribute!r}") from None
    if isinstance(found, Workflow) and found.fn is None:
        raise Complaint(f"the code of workflow {found.name!r} is not here: it is known by name only")
    if not isinstance(found, (Workflow, Invocation)):
        raise Complaint(f"{name!r} is a {type(found).__name__}, not a workflow")
    return found
