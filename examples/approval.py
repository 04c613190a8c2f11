"""A person decides, or time does: an expense waits for its approver, then for the director, then is refused.

python examples/approval.py
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

import attrs

from redrive import DurableService, Flow, Note, Signal, SignalTimeout, WaitSignal, step, workflow


class Answer(Enum):
    YES = "yes"
    NO = "no"


@attrs.frozen
class Decision:
    by: str
    answer: Answer


@attrs.frozen
class Expense:
    id: str
    amount: int


decided = Signal("expenses.decided", Decision)


@step
async def ask(person: str, expense: Expense) -> None:
    print(f"  to {person}: may we spend {expense.amount} on {expense.id}?")


@step
async def pay(expense: Expense) -> str:
    return f"tr_{expense.id}"


@workflow("expenses.approve", signals=[decided])
def approve_expense(expense: Expense, patience: timedelta = timedelta(days=2)) -> Flow[str]:
    for person in ("the approver", "the director"):
        yield from ask(person, expense)
        try:
            decision = yield from WaitSignal(decided, timeout=patience)
        except SignalTimeout:
            yield from Note("nobody answered", asked=person)
            continue
        if decision.answer is Answer.NO:
            return f"refused by {decision.by}"
        transfer = yield from pay(expense)
        return f"paid as {transfer}, approved by {decision.by}"
    return "refused: nobody answered"


def main() -> None:
    with DurableService("memory://", workflows=[approve_expense]) as service:
        laptop = service.start(approve_expense(Expense("laptop", 1800)))
        laptop.signal(decided, Decision("Ada", Answer.YES))
        print(laptop.result(timeout=30))
        print(service.execute(approve_expense(Expense("yacht", 9_000_000), patience=timedelta(seconds=0.1))))


if __name__ == "__main__":
    main()
