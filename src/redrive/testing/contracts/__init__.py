"""What every `Store` must pass, also one that redrive does not know.

from redrive.testing.contracts import Lab, StoreContract

class MyLab(Lab): ...                       # how to connect, and how time passes

class TestMyStore(StoreContract):
    @pytest.fixture
    def lab(self) -> Lab:
        return MyLab()
"""

from __future__ import annotations

from redrive.testing.contracts.aside import AsideContract
from redrive.testing.contracts.children import ChildContract
from redrive.testing.contracts.claims import ClaimContract
from redrive.testing.contracts.events import EventContract
from redrive.testing.contracts.first_turns import FirstTurnContract
from redrive.testing.contracts.inbox import InboxContract
from redrive.testing.contracts.lab import Lab
from redrive.testing.contracts.parks import ParkContract
from redrive.testing.contracts.reading import ReadingContract
from redrive.testing.contracts.starting import StartContract
from redrive.testing.contracts.turns import TurnContract


class StoreContract(
    StartContract,
    FirstTurnContract,
    ClaimContract,
    ParkContract,
    InboxContract,
    TurnContract,
    ChildContract,
    EventContract,
    AsideContract,
    ReadingContract,
):
    """Every promise of the store port; a subclass gives the fixture ``lab``."""


__all__ = ["Lab", "StoreContract"]
