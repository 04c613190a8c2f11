"""Durable workflows as plain generators: calling constructs, yielding performs, and a crash changes nothing."""

from typing import TYPE_CHECKING, Any

from redrive.blocking import DurableService
from redrive.errors import (
    CompensationFailed,
    DamagedData,
    ExecutionCancelled,
    ExecutionEnded,
    ExecutionFailed,
    OperationRefused,
    ScheduleBusy,
    ScheduleNotFound,
    ServiceClosed,
    UndeclaredSignal,
    WorkflowTimeout,
    WrongContext,
)
from redrive.execution import AsyncExecution, Execution
from redrive.ports.store import Store, StoreError, UnusableStore
from redrive.service import AsyncDurableService
from redrive.step_context import StepContext, current_step
from redrive_interpreter import (
    All,
    Attribute,
    Branch,
    CancelChild,
    Cancelled,
    ChildFailed,
    ChildRef,
    ChildTimeout,
    CodecError,
    Command,
    Commit,
    Condition,
    ContinueAs,
    DefinitionError,
    Diverged,
    Emit,
    Equals,
    Err,
    Event,
    ExecutionConflict,
    ExecutionFinished,
    ExecutionNotFound,
    Failure,
    Flow,
    Info,
    InvalidDefinition,
    InvalidDuration,
    InvalidId,
    Invocation,
    Join,
    Key,
    Map,
    NewId,
    NoBranch,
    Note,
    Now,
    Ok,
    Patch,
    Queue,
    Race,
    Random,
    Rate,
    RedriveError,
    ReservedId,
    Retry,
    RetryAfter,
    Rollback,
    RunChild,
    RunInfo,
    SendSignal,
    SetAttribute,
    Settle,
    Signal,
    SignalTimeout,
    Sleep,
    Spawn,
    StartChild,
    Step,
    StepFailed,
    StepFunction,
    StepId,
    StepInterrupted,
    StepTimeout,
    Switch,
    Task,
    WaitChild,
    WaitSignal,
    Won,
    Workflow,
    WorkflowError,
    WorkflowMisuse,
    inject,
    step,
    workflow,
)

if TYPE_CHECKING:
    from redrive.aside import DeadLetter, SetAsideSignal
    from redrive.filters import Criteria, Filter
    from redrive.found import AsyncFound, AsyncFoundExecution, Found, FoundExecution, Node, Page
    from redrive.info import ExecutionInfo, Pending
    from redrive.inspecting import InspectedFiber, InspectedFrame, InspectedValue, Inspection
    from redrive.operating.audit_entries import AuditEntry
    from redrive.operating.change_report import Change
    from redrive.operating.what_ifs import WhatIf
    from redrive.ports.finding import Count
    from redrive.purges_by_hand import Purged
    from redrive.schedule_info import ScheduleInfo, SkippedSlots
    from redrive.schedules import Schedules
    from redrive.scheduling.schedule import Schedule
    from redrive.service_queues import PartitionInfo, QueueInfo, QueueNotFound
    from redrive.stuck import Stuck

__all__ = [
    "All",
    "AsyncDurableService",
    "AsyncExecution",
    "AsyncFound",
    "AsyncFoundExecution",
    "Attribute",
    "AuditEntry",
    "Branch",
    "CancelChild",
    "Cancelled",
    "Change",
    "ChildFailed",
    "ChildRef",
    "ChildTimeout",
    "CodecError",
    "Command",
    "Commit",
    "CompensationFailed",
    "Condition",
    "ContinueAs",
    "Count",
    "Criteria",
    "DamagedData",
    "DeadLetter",
    "DefinitionError",
    "Diverged",
    "DurableService",
    "Emit",
    "Equals",
    "Err",
    "Event",
    "Execution",
    "ExecutionCancelled",
    "ExecutionConflict",
    "ExecutionEnded",
    "ExecutionFailed",
    "ExecutionFinished",
    "ExecutionInfo",
    "ExecutionNotFound",
    "Failure",
    "Filter",
    "Flow",
    "Found",
    "FoundExecution",
    "Info",
    "InspectedFiber",
    "InspectedFrame",
    "InspectedValue",
    "Inspection",
    "InvalidDefinition",
    "InvalidDuration",
    "InvalidId",
    "Invocation",
    "Join",
    "Key",
    "Map",
    "NewId",
    "NoBranch",
    "Node",
    "Note",
    "Now",
    "Ok",
    "OperationRefused",
    "Page",
    "PartitionInfo",
    "Patch",
    "Pending",
    "Purged",
    "Queue",
    "QueueInfo",
    "QueueNotFound",
    "Race",
    "Random",
    "Rate",
    "RedriveError",
    "ReservedId",
    "Retry",
    "RetryAfter",
    "Rollback",
    "RunChild",
    "RunInfo",
    "Schedule",
    "ScheduleBusy",
    "ScheduleInfo",
    "ScheduleNotFound",
    "Schedules",
    "SendSignal",
    "ServiceClosed",
    "SetAsideSignal",
    "SetAttribute",
    "Settle",
    "Signal",
    "SignalTimeout",
    "SkippedSlots",
    "Sleep",
    "Spawn",
    "StartChild",
    "Step",
    "StepContext",
    "StepFailed",
    "StepFunction",
    "StepId",
    "StepInterrupted",
    "StepTimeout",
    "Store",
    "StoreError",
    "Stuck",
    "Switch",
    "Task",
    "UndeclaredSignal",
    "UnusableStore",
    "WaitChild",
    "WaitSignal",
    "WhatIf",
    "Won",
    "Workflow",
    "WorkflowError",
    "WorkflowMisuse",
    "WorkflowTimeout",
    "WrongContext",
    "current_step",
    "inject",
    "step",
    "workflow",
]


def __getattr__(name: str) -> Any:
    """Names for annotations are imported when they are first used."""
    if name == "Change":
        from redrive.operating import change_report

        return change_report.Change
    if name == "WhatIf":
        from redrive.operating import what_ifs

        return what_ifs.WhatIf
    if name == "AuditEntry":
        from redrive.operating import audit_entries

        return audit_entries.AuditEntry
    if name in ("Criteria", "Filter"):
        from redrive import filters

        return getattr(filters, name)
    if name in ("AsyncFound", "AsyncFoundExecution", "Found", "FoundExecution", "Node", "Page"):
        from redrive import found

        return getattr(found, name)
    if name == "Count":
        from redrive.ports.finding import Count

        return Count
    if name == "Schedule":
        from redrive.scheduling.schedule import Schedule

        return Schedule
    if name == "Schedules":
        from redrive.schedules import Schedules

        return Schedules
    if name in ("ScheduleInfo", "SkippedSlots"):
        from redrive import schedule_info

        return getattr(schedule_info, name)
    if name in ("ExecutionInfo", "Pending"):
        from redrive import info

        return getattr(info, name)
    if name in ("InspectedFiber", "InspectedFrame", "InspectedValue", "Inspection"):
        from redrive import inspecting

        return getattr(inspecting, name)
    if name == "Stuck":
        from redrive import stuck

        return stuck.Stuck
    if name == "Purged":
        from redrive import purges_by_hand

        return purges_by_hand.Purged
    if name in ("PartitionInfo", "QueueInfo", "QueueNotFound"):
        from redrive import service_queues

        return getattr(service_queues, name)
    if name in ("DeadLetter", "SetAsideSignal"):
        from redrive import aside

        return getattr(aside, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
