"""The pytest plugin: the fixture `play`, which runs a workflow by hand on a virtual clock; and files in ``histories`` as tests.

pytest loads every installed plugin at start-up, also in projects that never touch a workflow. So this package
lives outside `redrive` and imports it only when a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from redrive_pytest.histories import pytest_addoption, pytest_collect_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redrive.testing import Play

__all__ = ["play", "pytest_addoption", "pytest_collect_file"]


@pytest.fixture
def play() -> Iterator[Play]:
    """Play a workflow: say what each step answers, see what it asks next.

    When the test is over, each run is driven once more in another world: a workflow that looks at a clock, at luck, at
    the environment or at the order of a set is an error. ``play(…, check_purity=False)`` leaves that out.
    """
    from redrive.testing.play import checked_play

    with checked_play() as play:
        yield play
