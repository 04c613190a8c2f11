"""The pytest plugin: the fixture `play`, which runs a workflow by hand on a virtual clock.

pytest loads every installed plugin at start-up, also in projects that never touch a workflow. So this package
lives outside `redrive` and imports it only when a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from redrive.testing import Play

__all__ = ["play"]


@pytest.fixture
def play() -> Play:
    """Play a workflow: say what each step answers, see what it asks next."""
    from redrive.testing import play

    return play
