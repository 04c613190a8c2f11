"""The tests that every `Store` must pass, also one of a third party.

from redrive.testing.contracts import Lab, QueueContract, StoreContract

class MyLab(Lab): ...                       # how to connect, and how time passes

class TestMyStore(StoreContract):           # and ScheduleContract, QueueContract, if it keeps schedules and queues
    @pytest.fixture
    def lab(self) -> Lab:
        return MyLab()
"""

from __future__ import annotations

from redrive.testing.contracts.aside_contract import AsideContract
from redrive.testing.contracts.child_contract import ChildContract
from redrive.testing.contracts.claim_contract import ClaimContract
from redrive.testing.contracts.event_contract import EventContract
from redrive.testing.contracts.find_contract import FindContract
from redrive.testing.contracts.first_turn_contract import FirstTurnContract
from redrive.testing.contracts.hold_contract import HoldContract
from redrive.testing.contracts.inbox_contract import InboxContract
from redrive.testing.contracts.lab import Lab
from redrive.testing.contracts.park_contract import ParkContract
from redrive.testing.contracts.purge_contract import PurgeContract
from redrive.testing.contracts.queue_contract import QueuePlaceContract
from redrive.testing.contracts.queue_control_contract import QueueControlContract
from redrive.testing.contracts.queue_order_contract import QueueOrderContract
from redrive.testing.contracts.read_contract import ReadingContract
from redrive.testing.contracts.rewrite_contract import RewriteContract
from redrive.testing.contracts.schedule_contract import ScheduleContract
from redrive.testing.contracts.start_contract import StartContract
from redrive.testing.contracts.suspect_contract import SuspectContract
from redrive.testing.contracts.turn_contract import TurnContract


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
    PurgeContract,
    SuspectContract,
    RewriteContract,
    FindContract,
    HoldContract,
):
    """Every promise of the store port; a subclass gives the fixture ``lab``."""


class QueueContract(QueuePlaceContract, QueueOrderContract, QueueControlContract):
    """Every promise of `KeepsQueues`."""


__all__ = ["Lab", "QueueContract", "ScheduleContract", "StoreContract"]
