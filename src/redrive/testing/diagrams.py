"""A workflow as a Mermaid flowchart, drawn from the states that exploration finds: no way through it is missing or invented.

A box is a set of commands asked at one time: the repeats of a loop and the items of a Map are one box. An arrow is an outcome.
Undos and ends have boxes of another style. A case that no `Switch` ever chose is dashed.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

from redrive.testing.charts import Chart, charted
from redrive.testing.example_values import NoExample, example_values
from redrive.testing.explore import explore
from redrive.testing.flowcharts import flowchart
from redrive.testing.traffic import Traffic
from redrive_interpreter import Invocation, Workflow

MOST_STATES: Final = 20_000


def diagram(of: Invocation[Any] | Workflow[..., Any], **options: Any) -> str:
    """Mermaid text for a workflow or a call of it; *options* are those of `explore`, but the default is no cancels.

    Raises `NoExample` where a workflow's argument, or what a step gives, has a type that no sample can be made of.
    """
    return flowchart(chart(of, **options))


def chart(of: Invocation[Any] | Workflow[..., Any], traffic: Traffic | None = None, **options: Any) -> Chart:
    """The chart that `diagram` draws, with *traffic* over it.

    Without ``cancels`` in *options*, it has the cancels that production made, and no possible ones.
    """
    invocation = of if isinstance(of, Invocation) else of(*_arguments(of))
    title = invocation.workflow.name
    chosen: dict[str, Any] = {"cancels": 0, "budget": MOST_STATES, **options}
    plain = explore(invocation, **chosen)
    if traffic is None or not traffic.cancelled or "cancels" in options:
        return charted(plain, title, traffic)
    chosen["cancels"] = 1
    drawn = charted(explore(invocation, **chosen), title, traffic)
    drawn.keep(charted(plain, title))
    return drawn


def svg(text: str) -> str:
    """Mermaid *text* as an SVG picture, drawn here and now. Raises `ImportError` without the extra ``redrive[diagram]``."""
    try:
        renderer: Any = importlib.import_module("mermaidx")  # Mermaid itself, in an engine of its own: no browser, no download
    except ImportError as error:
        raise ImportError("an SVG needs the extra: pip install 'redrive[diagram]'") from error
    return str(renderer.render(text).svg())


def _arguments(workflow: Workflow[..., Any]) -> list[Any]:
    signature = workflow.signature
    arguments: list[Any] = []
    for name in signature.parameters:
        try:
            arguments.append(example_values(signature.parameter(name), name)[0])
        except NoExample as error:
            raise NoExample(f"{error}, the argument {name!r} of {workflow.name}: give diagram() a call of it") from error
    return arguments
