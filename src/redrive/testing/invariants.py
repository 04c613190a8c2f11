"""Invariants: predicates over a `View` that must hold in every history, and those that every saga needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import attrs

from redrive.status import CANCELLED, FAILED
from redrive.testing.call_checks import check_invariant
from redrive.testing.run_view import Happening, View, What, about, happened
from redrive.testing.sources import predicate_source
from redrive_interpreter import kinds
from redrive_interpreter.keys import scope_of

if TYPE_CHECKING:
    from redrive_interpreter import Failure, Key, Status


@attrs.frozen
class Invariant:
    """An invariant, with its *name* as written in a test;

    *breach* gives the fault of a run, or None. *things* are the steps and signals that it names. *tested_by* are the conditions
    without which it holds trivially: if exploration never sees one, the invariant was not tested. Nor was it if the code does not
    mention one of *expected*.
    """

    name: str
    breach: Callable[[View], str | None]
    things: tuple[What, ...] = ()
    tested_by: tuple[What, ...] = ()
    expected: tuple[What, ...] = ()


class UntestedInvariant(UserWarning):
    """An invariant held only because the things that it names never occurred, or cannot."""


Checked: TypeAlias = "Invariant | Callable[[View], object]"


class InvariantBroken(AssertionError):
    """A run breaks an invariant."""

    invariant: str
    breach: str

    def __init__(self, invariant: str, breach: str) -> None:
        super().__init__(invariant, breach)
        self.invariant, self.breach = invariant, breach

    def __str__(self) -> str:
        return f"{self.invariant}: {self.breach}"


def as_invariant(checked: Checked) -> Invariant:
    """A predicate as an `Invariant`: broken where it gives False, or text, or its own assert fails."""
    if isinstance(checked, Invariant):
        return checked
    check_invariant(checked)
    predicate = checked

    def breach(view: View) -> str | None:
        try:
            answer = predicate(view)
        except AssertionError as error:
            return str(error).partition("\n")[0] or "its assert fails"
        if isinstance(answer, str):
            return answer or None
        return "it does not hold" if answer is False else None

    return Invariant(predicate_source(predicate), breach, (predicate,))


def check(view: View, invariants: Sequence[Checked]) -> None:
    """Raises `InvariantBroken` for the first of *invariants* that *view* breaks."""
    for invariant in map(as_invariant, invariants):
        if breach := invariant.breach(view):
            raise InvariantBroken(invariant.name, breach)


def never(what: What, *, after: What = None, before: What = None) -> Invariant:
    """*what* is never asked for; with *after*, not once that has happened; with *before*, not until that has happened."""
    if after is not None and before is not None:
        raise TypeError("never() takes after= or before=: say two of them")

    def breach(view: View) -> str | None:
        forbidden = after is None
        for happening in view.happenings:
            if forbidden and happening.kind == "asked" and about(what, happening):
                return f"{happening.key} is asked{when}"
            if after is not None:
                forbidden = forbidden or happened(after, happening)
            elif before is not None and happened(before, happening):
                return None
        return None

    when = f" after {shown(after)}" if after is not None else f" before {shown(before)}" if before is not None else ""
    how = f", after={shown(after)}" if after is not None else f", before={shown(before)}" if before is not None else ""
    condition = tuple(one for one in (after, before) if one is not None)
    return Invariant(f"never({shown(what)}{how})", breach, (what, *condition), condition, (what, *condition))


def at_most_once(step: What, *, idempotent: bool = False) -> Invariant:
    """*step* takes effect at most once, undone ones apart.

    An attempt that timed out, was interrupted, or failed with an error that the step does not declare may have taken
    effect; so may one whose declared error is called after a timeout or a connection.

    redrive repeats an attempt with the same idempotency key: where the other side honours that, say *idempotent*,
    and only attempts with different keys count.
    """

    def breach(view: View) -> str | None:
        effects: list[tuple[int, Key]] = []
        for happening in view.happenings:
            command = (happening.run, happening.key)
            if happening.kind == "undone":
                effects = [effect for effect in effects if effect != command]
            elif about(step, happening) and _may_have_effect(happening) and not (idempotent and command in effects):
                effects.append(command)
            if len(effects) > 1:
                return f"it may have taken effect {len(effects)} times: {', '.join(key for _, key in effects)}"
        return None

    name = f"at_most_once({shown(step)}" + (", idempotent=True" if idempotent else "") + ")"
    return Invariant(name, breach, (step,), expected=(step,))


def _may_have_effect(happening: Happening) -> bool:
    if happening.kind == "done":
        return True
    if happening.kind not in ("failed", "retried"):
        return False
    failure: Failure = happening.outcome
    if happening.in_doubt or failure.declared is None:
        return True
    name = failure.type.rpartition(".")[2]
    return "Timeout" in name or name.startswith(("Connection", "Broken"))


def always_eventually(*what: What, after: What = None) -> Invariant:
    """When nothing more comes, one of *what* has happened; with *after*, later than that (and only if that has happened)."""

    def breach(view: View) -> str | None:
        if not view.final:
            return None
        wanted = after is None
        for happening in view.happenings:
            if wanted and any(happened(one, happening) for one in what):
                if after is None:
                    return None
                wanted = False
            if after is not None and happened(after, happening):
                wanted = True
        ends = f"it ends {view.status}" if view.status else "it waits for ever"
        return f"{ends} without {' or '.join(map(shown, what))}" if wanted else None

    name = ", ".join(map(shown, what)) + ("" if after is None else f", after={shown(after)}")
    condition = () if after is None else (after,)
    return Invariant(f"always_eventually({name})", breach, (*what, *condition), condition, condition)


def compensated(*steps: What, on: Sequence[Status] | None = None) -> Invariant:
    """Whenever the run fails, every completed step with an undo was undone, newest first, exactly once.

    The same of a cancelled run whose workflow says ``on_cancel="rollback"``; others may be cancelled knowingly. *on* replaces both by
    the statuses in which everything must be undone.

    With *steps*, exactly those must be undone. Steps before a Commit stay done. A step that the workflow asks for, and that is
    the undo of another, counts as the undo of the newest that is not undone.
    """

    def breach(view: View) -> str | None:
        done, undone = _undos(view, steps)
        for key, name in undone:
            if undone.count((key, name)) > 1:
                return f"{key[1]} is undone twice"
        promised = (FAILED, CANCELLED) if view.on_cancel == "rollback" else (FAILED,)
        if view.status not in (promised if on is None else on):
            return None
        order = [key for key, _ in undone]
        for key in done:
            if key not in order:
                return f"the run ends {view.status}, and {key[1]} is not undone"
        within = [key for key in order if key in done]
        for earlier, later in pairwise(within):
            if scope_of(earlier[1]) == scope_of(later[1]) and done.index(earlier) < done.index(later) and _overlap(view, earlier, later):
                return f"{earlier[1]} is undone before {later[1]}, which completed later"
        return None

    names = [shown(step) for step in steps] + ([] if on is None else [f"on={tuple(on)!r}"])
    return Invariant(f"compensated({', '.join(names)})", breach, steps, expected=steps)


def _undos(view: View, steps: Sequence[What]) -> tuple[list[tuple[int, Key]], list[tuple[tuple[int, Key], str]]]:
    """The steps that completed and must be undone, oldest first; and those undone, in order, with the undo's name."""
    done: list[tuple[int, Key]] = []
    undos: dict[tuple[int, Key], str] = {}
    undone: list[tuple[tuple[int, Key], str]] = []
    for happening in view.happenings:
        key = (happening.run, happening.key)
        if happening.kind == kinds.COMMIT:
            scope = scope_of(happening.key)
            done = [one for one in done if not one[1].startswith(scope)]
        elif happening.kind == "undone":
            undone.append((key, happening.undo or ""))
        elif happening.kind == "done" and happening.command == kinds.STEP:
            left = [one for one in done if undos.get(one) == happening.name and (one, happening.name) not in undone]
            if left:
                undone.append((left[-1], happening.name))
            if any(about(step, happening) for step in steps) if steps else happening.undo is not None:
                done.append(key)
            if happening.undo is not None:
                undos[key] = happening.undo
    return done, undone


def _overlap(view: View, earlier: tuple[int, Key], later: tuple[int, Key]) -> bool:
    """Whether *later* had completed when the undo of *earlier* was carried out."""
    at = {(h.kind, h.run, h.key): n for n, h in enumerate(view.happenings)}
    return at.get(("done", *later), 0) < at.get(("undone", *earlier), -1)


def shown(what: What) -> str:
    """The source text of *what* in a test."""
    if isinstance(what, str):
        return repr(what)
    body = getattr(what, "body", None) or getattr(what, "fn", None)
    return str(getattr(body or what, "__name__", None) or repr(getattr(what, "name", what)))
