"""What earlier releases stored can be operated on as well: every golden history, at every command."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from uuid import UUID

import attrs
import pytest

from redrive.codec import JsonCodec
from redrive.errors import OperationRefused
from redrive.histories import read
from redrive.operating import edits
from redrive.operating.rehearsals import rehearse
from redrive.operating.subjects import Subject
from redrive_interpreter import load_row
from redrive_interpreter.history.rows import Asked, Ended, Started
from tests.golden.test_golden import FILES, WORKFLOWS

RUN = UUID("00000000-0000-4000-8000-000000000009")


def subject_of(path: Path) -> Subject:
    rows = [load_row(row) for row in read(path)]
    started, last = rows[0], rows[-1]
    assert isinstance(started, Started)
    status = last.status if isinstance(last, Ended) else "suspended"
    workflow = WORKFLOWS[started.workflow]
    return Subject(id=started.id, status=status, rows=rows, workflow=workflow, codec=JsonCodec(), now=started.at, run=RUN)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_history_is_forked_and_begun_anew_at_every_command(path: Path) -> None:
    """F2, F7: the prefix replays, and the code goes on from there as another run."""
    subject = subject_of(path)
    keys = [row.key for row in subject.rows if isinstance(row, Asked) and not row.key.startswith("rollback:")]
    for key in dict.fromkeys(keys):
        with suppress(OperationRefused):  # a child that runs, or whose id is taken
            assert rehearse(subject, edits.fork(subject, "copy", key, None).rows) is not None
        anew = edits.begin_anew(attrs.evolve(subject, status="failed"), "retry", key)
        assert rehearse(subject, anew.rows) is not None


@pytest.mark.parametrize("path", [path for path in FILES if subject_of(path).status == "failed"], ids=lambda path: path.stem)
def test_a_golden_history_that_failed_is_retried_or_refused(path: Path) -> None:
    """F5."""
    subject = subject_of(path)
    with suppress(OperationRefused):
        assert rehearse(subject, edits.retry(subject).rows) is not None
