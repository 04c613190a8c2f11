"""What a sender or a service gets wrong is said to whoever did it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from redrive import CodecError, DurableService, Flow, InvalidDefinition, Signal, WaitSignal, workflow

approved = Signal("mistaken.approved", str)


@workflow("mistaken.wait", signals=[approved])
def wait() -> Flow[str]:
    return (yield from WaitSignal(approved))


def test_a_signal_of_the_declared_name_and_another_type_is_refused_and_parks_nothing() -> None:
    with DurableService("memory://", workflows=[wait]) as service:
        execution = service.start(wait(), id="w-1")
        with pytest.raises(CodecError, match=r"signal mistaken\.approved"):
            execution.signal(Signal("mistaken.approved", int), 5)
        execution.signal(approved, "Ada")
        assert execution.result(timeout=10) == "Ada"


def test_one_workflow_where_a_list_belongs_is_told_so() -> None:
    with pytest.raises(InvalidDefinition, match=r"write workflows=\["):
        DurableService("memory://", workflows=cast("Any", wait))
