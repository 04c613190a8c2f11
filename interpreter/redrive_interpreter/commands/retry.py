"""Retry policies, and the pure decision what comes after a failed attempt."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias, cast

from redrive_interpreter.commands.durations import LATEST, LONGEST, Duration, duration, positive_duration
from redrive_interpreter.errors import InvalidDefinition, InvalidDuration, StepInterrupted
from redrive_interpreter.frozen import Frozen, put
from redrive_interpreter.raised import type_name

ErrorTypes: TypeAlias = "type[BaseException] | tuple[type[BaseException], ...]"


# Defaults are recognised by identity, not by value: the author of `Retry(delay=1)` expects a second attempt.
class _One:
    """The default of *attempts*."""

    def __repr__(self) -> str:
        return "1"


_ONE: Final[Any] = _One()
_SECOND: Final = timedelta(seconds=1)
_DOUBLED: Final = 2.0
_NO_JITTER: Final = float("0")
_ANY: Final = (Exception,)
_NONE: Final[tuple[type[BaseException], ...]] = ()

_LARGE: Final = 1e9  # as a factor it reaches the longest delay at once
_SPAN: Final = float(1 << 64)


class Retry(Frozen):
    """How often, and how far apart, a failing step or child is tried again.

    *attempts* counts the first one; None means for ever. It is to be given with anything else: ``Retry()`` alone is one attempt.
    The wait begins with *delay*, is multiplied by *factor* after each attempt and never exceeds *max_delay*; *jitter*, from 0
    to 1, is the share of it that is random. No attempt is due later than *within* after the step or child was asked for. Only
    errors of *on*, and not of *give_up_on*, are retried; a `StepInterrupted` only where *on* names it.
    Durations are seconds or timedeltas.
    """

    __slots__ = ("attempts", "delay", "factor", "give_up_on", "jitter", "max_delay", "on", "within")
    attempts: int | None
    delay: timedelta
    factor: float
    max_delay: timedelta | None
    jitter: float
    within: timedelta | None
    on: tuple[type[BaseException], ...]
    give_up_on: tuple[type[BaseException], ...]

    def __init__(
        self,
        attempts: int | None = _ONE,
        delay: Duration = _SECOND,
        factor: float = _DOUBLED,
        max_delay: Duration | None = None,
        jitter: float = _NO_JITTER,
        within: Duration | None = None,
        on: ErrorTypes = _ANY,
        give_up_on: ErrorTypes = _NONE,
    ) -> None:
        bare, attempts = attempts is _ONE, 1 if attempts is _ONE else attempts
        if attempts is not None and (type(attempts) is not int or attempts < 1):
            raise InvalidDefinition(f"Retry attempts={attempts!r}: give a number from 1, or None for ever")
        if not _is_number(factor) or factor < 1:
            raise InvalidDefinition(f"Retry factor={factor!r}: give a number from 1")
        if not _is_number(jitter) or not 0 <= jitter <= 1:
            raise InvalidDefinition(f"Retry jitter={jitter!r}: give a share from 0 to 1")
        put(self, "attempts", attempts)
        put(self, "delay", _wait(delay, "Retry delay"))
        put(self, "factor", float(min(factor, _LARGE)))
        put(self, "max_delay", None if max_delay is None else _wait(max_delay, "Retry max_delay"))
        put(self, "jitter", float(jitter))
        put(self, "within", positive_duration(within, "Retry within"))
        put(self, "on", error_types(on, "Retry on"))
        put(self, "give_up_on", error_types(give_up_on, "Retry give_up_on"))
        if bare:
            given = {"delay": delay is not _SECOND, "factor": factor is not _DOUBLED, "max_delay": max_delay is not None}
            given |= {"jitter": jitter is not _NO_JITTER, "within": within is not None, "on": on is not _ANY}
            given |= {"give_up_on": give_up_on is not _NONE}
            if names := [f"{name}=" for name, is_given in given.items() if is_given]:
                raise InvalidDefinition(
                    f"Retry({names[0]}…) without attempts= would be one attempt, and no other: give attempts=, a number or None for ever"
                )

    def retries(self, error: BaseException) -> bool:
        """Whether *error* is one that this policy tries again after, attempts and time apart."""
        if isinstance(error, self.give_up_on):
            return False
        if isinstance(error, StepInterrupted):
            # The step may have taken effect: listing Exception does not ask for a second effect.
            return any(issubclass(type, StepInterrupted) for type in self.on)
        return isinstance(error, (RetryAfter, *self.on))

    def wait(self, attempt: int, token: str) -> timedelta:
        """The wait after *attempt*, the same for every caller with the same *token*."""
        limit = self.max_delay or LONGEST
        if not self.delay:
            return self.delay  # nothing times an overflow is still nothing
        try:
            seconds = self.delay.total_seconds() * self.factor ** (attempt - 1)
        except OverflowError:
            seconds = math.inf
        seconds = min(seconds, limit.total_seconds())
        if self.jitter:
            seconds *= 1 - self.jitter * _fraction(token, attempt)
        return timedelta(seconds=seconds)


class RetryAfter(Exception):
    """Raised by a step's body: this attempt failed, and the next may begin after *delay*.

    It takes the place of the policy's own wait; the attempt still counts. Without a policy it is final.
    """

    delay: timedelta
    message: str

    def __init__(self, delay: Duration, message: str = "") -> None:
        super().__init__(delay, message)
        self.delay, self.message = duration(delay, "RetryAfter"), message

    def __str__(self) -> str:
        return self.message or f"retry after {self.delay}"


def after_failure(
    policies: tuple[Retry, ...],
    error: BaseException,
    *,
    attempt: int,
    first_at: datetime,
    now: datetime,
    token: str,
) -> datetime | None:
    """When the attempt after number *attempt*, which failed with *error*, is due; None if it was the last.

    The first policy that retries *error* decides; `RetryAfter` is for the first of all. *token* names the
    step for all time (its idempotency key): jitter derives from it, so that a restart computes the same.
    """
    policy = next((policy for policy in policies if policy.retries(error)), None)
    if policy is None:
        return None
    wait = error.delay if isinstance(error, RetryAfter) else None
    return after_attempt(policy, attempt=attempt, first_at=first_at, now=now, token=token, wait=wait)


def after_attempt(
    policy: Retry, *, attempt: int, first_at: datetime, now: datetime, token: str, wait: timedelta | None = None
) -> datetime | None:
    """When the attempt after number *attempt* is due by *policy*, for any error; None if it was the last.

    *wait* is how long to wait where the failure said so.
    """
    if policy.attempts is not None and attempt >= policy.attempts:
        return None
    if wait is None:
        wait = policy.wait(attempt, token)
    due = min(now, LATEST) + max(wait, timedelta(0))
    if policy.within is not None and due > first_at + policy.within:
        return None
    return due


def policies_of(retry: object, where: str) -> tuple[Retry, ...]:
    """*retry* as a tuple of policies; raises `InvalidDefinition` for what is neither one nor a tuple of them."""
    if retry is None:
        return ()
    if not isinstance(retry, (Retry, tuple, list)):
        raise InvalidDefinition(f"{where}: retry={retry!r} is neither a Retry nor a tuple of them")
    checked: list[Retry] = []
    for policy in listed(cast("object", retry)):
        if not isinstance(policy, Retry):
            raise InvalidDefinition(f"{where}: retry={policy!r} is not a Retry")
        checked.append(policy)
    return tuple(checked)


def error_types(types: object, where: str) -> tuple[type[BaseException], ...]:
    """*types*, one exception class or several, as a tuple; raises `InvalidDefinition` for anything else."""
    checked: list[type[BaseException]] = []
    for type_ in listed(types):
        if not isinstance(type_, type) or not issubclass(type_, BaseException):
            raise InvalidDefinition(f"{where}: {type_!r} is not an exception class")
        checked.append(type_)
    return tuple(checked)


def raised_types(types: object, where: str) -> tuple[type[BaseException], ...]:
    """`error_types` that can be told apart by the name that a failure is stored under."""
    checked = tuple(dict.fromkeys(error_types(types, where)))
    names = [type_name(type_) for type_ in checked]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidDefinition(f"{where}: two classes are called {twice[0]}, and a stored error could not say which of them it was")
    return checked


def listed(one_or_more: object) -> tuple[object, ...]:
    """*one_or_more* as a tuple: a tuple or list as it is, anything else alone."""
    return tuple(cast("list[object]", one_or_more)) if isinstance(one_or_more, (tuple, list)) else (one_or_more,)


def _wait(value: object, what: str) -> timedelta:
    made = duration(value, what)
    if made < timedelta(0):
        raise InvalidDuration(f"{what}: {value!r} is negative")
    return made


def _is_number(value: object) -> bool:
    return type(value) is not bool and isinstance(value, (int, float)) and -math.inf < value < math.inf


def _fraction(token: str, attempt: int) -> float:
    """A number from 0 to 1 that looks random and is the same each time."""
    import hashlib  # only here: loading OpenSSL would be the dearest import of the kernel

    digest = hashlib.sha256(f"{token}\0{attempt}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / _SPAN
