"""`explore`: every order in which a workflow's steps, signals, timers and cancels can come, and a crash at each state.

1.  A state is a history. From it go the moves of `Choices`; each is tried on a machine that was just replayed from
    the history, which is a crash: where the replay differs from the machine before it, that is found.
2.  Breadth first: the first violation found has the shortest schedule. Equal states (`Fingerprints`) are visited once.
3.  *seed* shuffles the moves of each state: it decides what is seen where the budget does not suffice for all.
"""

from __future__ import annotations

import random
import warnings
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs

from redrive.codec import JsonCodec
from redrive.converters import codec_for
from redrive.testing import labels
from redrive.testing.call_checks import check_invariants, check_invocation, check_mapping
from redrive.testing.cases import Cases
from redrive.testing.explored_choices import Choices, Spent
from redrive.testing.failure_report import failure_report
from redrive.testing.fingerprints import Fingerprints
from redrive.testing.host import Host, Kept
from redrive.testing.invariants import Checked, Invariant, UntestedInvariant, as_invariant, shown
from redrive.testing.mentions import mentioned
from redrive.testing.reproduce import Violation
from redrive.testing.run import BEGIN
from redrive.testing.run_view import View, occurs
from redrive.testing.stubs import name_of
from redrive_interpreter import HostError

if TYPE_CHECKING:
    from redrive.testing.moves import Move
    from redrive_interpreter import Command, Invocation, Key


@attrs.define(eq=False)
class _Node:
    """A state: its history, the commands pending in it, and the move by which it was first reached."""

    number: int
    kept: Kept
    standing: str
    spent: Spent
    before: _Node | None
    move: Move | None
    line: str
    depth: int

    def path(self) -> list[_Node]:
        node: _Node = self
        found: list[_Node] = [self]
        while node.before is not None:
            node = node.before
            found.append(node)
        return found[::-1]


@attrs.frozen
class Explored:
    """The result of an exploration. *complete*: all states were seen; else depth or budget ran out. *ends* counts the endings by
    kind.

    *edges* are the states, by number from 0, with the move that leads from one to the other; *asking* the commands that are
    pending in a state, by key; *marks* the endings of final states. *begins* are the cases that a `Switch` chose before the
    first of them; *untaken* the cases that none ever chose: the state in which it could have been (-1: at the beginning), the
    case, and what it would have asked.
    """

    states: int
    schedules: int
    complete: bool
    ends: Mapping[str, int]
    edges: Sequence[tuple[int, str, int]]
    asking: Mapping[int, Mapping[Key, Command[Any]]]
    marks: Mapping[int, str]
    begins: str = ""
    untaken: Sequence[tuple[int, str, str]] = ()


def explore(
    invocation: Invocation[Any],
    invariants: Sequence[Checked] = (),
    *,
    answers: Mapping[Any, object] | None = None,
    outcomes: Mapping[Any, object] | None = None,
    signals: Mapping[Any, object] | None = None,
    cancels: int = 1,
    faults: int | None = None,
    undeclared: bool = False,
    retries: int = 0,
    depth: int = 60,
    budget: int = 5_000,
    seed: int = 0,
    merge: bool = True,
    id: str = "test",
    now: datetime = BEGIN,
    timeout: timedelta | None = None,
    converter: Any = None,
) -> Explored:
    """Visit the states that *invocation* can reach, up to *budget* states and *depth* moves, and check *invariants* in each.

    A step gives the values of *answers* or an example of its type, fails with each error of its ``raises=``, and times out if it
    has a timeout; *outcomes* (a list of values, errors, ``StepTimeout``) replace these.
    With *undeclared* it, and a child, fails with an error that it does not declare, too. *signals* arrive at any time, by
    default each that is declared or waited for, once; so do *cancels*. *retries* of failed runs by an operator are tried as well.
    *faults* limits how many attempts fail in one history.
    Warns (`UntestedInvariant`) of invariants that held only because what they name never occurred.
    Raises `Violation`, with a test that reproduces it, for the shortest schedule that breaks an invariant, ends in a
    fault of the workflow's own code, or does not survive a crash.
    """
    check_invocation(invocation, "explore")
    check_invariants(invariants)
    check_mapping(answers, "answers", "{charge: 'ch_1'}")
    check_mapping(outcomes, "outcomes", "{charge: ['ch_1', CardDeclined('no')]}")
    check_mapping(signals, "signals", "{approved: 'Ada'}")
    choices = Choices(answers or {}, outcomes or {}, signals, cancels, faults, undeclared, retries)
    search = _Search(invocation, [as_invariant(one) for one in invariants], choices, codec_for(invocation.workflow, converter), merge)
    return search.run(random.Random(seed), depth, budget, id=id, now=now, timeout=timeout)


class _Search:
    def __init__(self, invocation: Invocation[Any], invariants: list[Invariant], choices: Choices, codec: JsonCodec, merge: bool) -> None:
        self._invocation = invocation
        self._invariants = invariants
        self._choices = choices
        self._codec = codec
        self._merge = merge
        self._prints = Fingerprints()
        self._cases = Cases()
        self._begins = ""
        self._seen: dict[bytes, int] = {}
        self._queue: deque[_Node] = deque()
        self._edges: list[tuple[int, str, int]] = []
        self._asking: dict[int, dict[Key, Command[Any]]] = {}
        self._marks: dict[int, str] = {}
        self._ends: Counter[str] = Counter()
        self._setup: dict[str, Any] = {}
        self._unseen = [(invariant, what) for invariant in invariants for what in invariant.expected]
        self._occurred: set[str] = set()

    def run(self, lots: random.Random, depth: int, budget: int, **setup: Any) -> Explored:
        self._setup = setup
        host = Host(self._codec, make=self._cases.machine)
        host.start(self._invocation, **setup)
        self._arrive(host, Spent(), None, None, "")
        complete, schedules = True, 0
        while self._queue:
            node = self._queue.popleft()
            if node.depth >= depth or len(self._seen) >= budget:
                complete = False
                if len(self._seen) >= budget:
                    break
                continue
            host = self._resume(node)
            moves = self._choices.of(host, node.spent)
            lots.shuffle(moves)
            for n, move in enumerate(moves):
                if n:
                    host = self._resume(node)
                line = move.line(host)
                schedules += 1
                try:
                    move.apply(host)
                except HostError as error:
                    raise self._violation("it survives a crash", str(error), host, self._after(node, move, line)) from error
                self._arrive(host, node.spent.after(move), node, move, line)
        self._warn_of_the_untested()
        ends, untaken = dict(self._ends), list(self._cases.untaken())
        return Explored(len(self._seen), schedules, complete, ends, self._edges, self._asking, self._marks, self._begins, untaken)

    def _resume(self, node: _Node) -> Host:
        host = Host(self._codec, make=self._cases.machine)
        try:
            host.resume(node.kept)
        except HostError as error:
            raise self._violation("it survives a crash", str(error), host, node) from error
        self._cases.forget()
        if self._prints.standing(host) != node.standing:
            raise self._violation("it survives a crash", "a replay of the history asks something else", host, node)
        return host

    def _arrive(self, host: Host, spent: Spent, before: _Node | None, move: Move | None, line: str) -> None:
        """Check a state that was reached, and keep it if it is new."""
        digest = self._prints.of(host, spent) if self._merge else len(self._seen).to_bytes(8, "big")
        known = self._seen.get(digest)
        number = len(self._seen) if known is None else known
        node = _Node(number, host.kept, self._prints.standing(host), spent, before, move, line, 0 if before is None else before.depth + 1)
        if before is not None and move is not None:
            self._edges.append((before.number, labels.joined(move.brief, self._cases.take(before.number)), number))
        else:
            self._begins = labels.joined("", self._cases.take(-1))
        view = View.of(host.standing_runs, self._choices.is_final(host, spent), host.workflows[-1])
        self._look_for_the_unseen(view)
        for invariant in self._invariants:
            if breach := invariant.breach(view):
                raise self._violation(invariant.name, breach, host, node, invariant.things)
        if known is not None:
            host.machine.close()
            return
        self._seen[digest] = number
        self._asking[number] = host.pending
        verdict = host.verdict
        if verdict is not None:
            if verdict.bug:
                raise self._violation("it ends in no fault of its own code", _fault(view), host, node)
            failure = view.failure
            self._marks[number] = verdict.status + (f": {failure.type.rpartition('.')[2]}" if failure is not None else "")
            self._ends[self._marks[number]] += 1
        if verdict is None or self._choices.of(host, spent):
            self._queue.append(node)
        host.machine.close()

    def _look_for_the_unseen(self, view: View) -> None:
        if self._unseen:
            self._unseen = [(invariant, what) for invariant, what in self._unseen if not occurs(what, view)]
            self._occurred.update(happening.name for happening in view.happenings if happening.name)

    def _warn_of_the_untested(self) -> None:
        known = mentioned(self._invocation.workflow) if self._unseen else set[str]()
        for invariant, what in self._unseen:
            if what in invariant.tested_by:
                why = f"{shown(what)} occurred in none of the {len(self._seen):,} states"
            elif name_of(what) not in known:
                why = f"{shown(what)} cannot occur: the code of {self._invocation.workflow.name!r} does not speak of it"
            else:
                continue
            occurred = ", ".join(sorted(self._occurred)) or "nothing"
            warnings.warn(f"{invariant.name} was not tested: {why} (what occurred: {occurred})", UntestedInvariant, stacklevel=4)

    def _after(self, node: _Node, move: Move, line: str) -> _Node:
        return _Node(-1, node.kept, "", node.spent, node, move, line, node.depth + 1)

    def _violation(self, invariant: str, breach: str, host: Host, node: _Node, things: Sequence[Any] = ()) -> Violation:
        path = node.path()[1:]
        report = failure_report(host) if hasattr(host, "machine") else ""
        moves = [one.move for one in path if one.move is not None]
        return Violation.found(self._invocation, invariant, breach, moves, [one.line for one in path], report, self._setup, things)


def _fault(view: View) -> str:
    """The error of the run, and the last line of the workflow's own code that it passed through."""
    failure = view.failure
    if failure is None:
        return ""
    places = [line.strip() for line in failure.traceback.splitlines() if line.startswith('  File "') and "redrive_interpreter" not in line]
    return f"{failure.type}: {failure.message}" + (f"\n  at {places[-1]}" if places else "")
