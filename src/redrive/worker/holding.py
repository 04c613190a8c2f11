"""Paused executions: bodies that run go on, what they give goes into the inbox, and no turn is computed (F8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redrive.ports.store import NewMessage, Turn
from redrive.status import PAUSED
from redrive.worker import giving_back
from redrive.worker.facts import message_of
from redrive_interpreter.history.rows import Answered, AttemptStarted, Retrying

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive.worker.active_execution import ActiveExecution
    from redrive.worker.turn_runner import TurnRunner
    from redrive_interpreter.history.rows import Fact


async def hold(runner: TurnRunner, live: ActiveExecution) -> None:
    """Store what bodies of a paused execution gave; once none runs any more, give the execution back.

    Its pause may end meanwhile: then the store says so when the execution is loaded again.
    """
    _settle_announced(live)
    facts, live.facts = [fact for _, fact in live.facts or ()], None
    held = _messages(live, facts)
    if held:
        turn = Turn(expects=live.length, held=held, status=PAUSED)
        await runner.patiently(lambda: runner.store.commit(live.claim, turn), live.id)
        await runner.load(live)
        return
    runner.rest(live)
    if live.facts:
        runner.wake(live)
    elif not live.attempts:
        runner.leave(live)
        await giving_back.let_go(runner, live)


def is_of(run: str, history: Sequence[Any]) -> bool:
    """Whether *history* is that of *run*: it began so, or goes on so since an operator had it begin anew."""
    return bool(history[0]["run"] == run) or any(row["row"] == "forked" and row["run"] == run for row in history)


def _settle_announced(live: ActiveExecution) -> None:
    """At-most-once steps: a body whose start is stored begins now; one whose start is not stored does not begin."""
    announced, live.announced = live.announced or [], None
    for begun in announced:
        begun()
    for key in live.began or {}:
        if live.attempts and key in live.attempts:
            live.attempts[key].stop()
    live.began = None


def _messages(live: ActiveExecution, facts: Sequence[Fact]) -> list[NewMessage]:
    run = live.attempts or {}
    kept = [fact for fact in facts if isinstance(fact, (Answered, Retrying)) or (isinstance(fact, AttemptStarted) and fact.key in run)]
    return [message_of(fact, f"held:{live.claim.fence}:{fact.key}:{fact.at.timestamp()}") for fact in kept]
