"""Rates: how many more may begin now, told from the buckets of what has begun. Times are in microseconds.

1.  A bucket counts until its youngest is a window old. So no window ever holds more than the limit; what is counted together
    may count a little too long, by a `BUCKETS`th of the window.
2.  A bucket that is later than now stems from a clock that went back. The store sets it to now, so that the queue stands for
    one window at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redrive.ports.queue_port import RateLimit

BUCKETS: Final = 256
"""Buckets that a window is kept in, at most."""
_SECOND: Final = 1_000_000
_MINUTE: Final = 60 * _SECOND


@attrs.frozen
class Bucket:
    """*count* began between *since_us* and *at_us*."""

    since_us: int
    at_us: int
    count: int


@attrs.frozen
class Tokens:
    """How many may begin now, and if none, when the next may."""

    count: int
    next_us: int | None = None


def length_us(rate: RateLimit) -> int:
    return max(1, round(rate.per.total_seconds() * _SECOND))


def kept_us(rate: RateLimit) -> int:
    """How long buckets are kept: a minute at least, for people to look at."""
    return max(length_us(rate), _MINUTE)


def tokens(rate: RateLimit | None, begun: Sequence[Bucket], now_us: int, most: int) -> Tokens:
    """The tokens that *rate* leaves, at most *most*."""
    if rate is None:
        return Tokens(most)
    window = length_us(rate)
    counting = sorted((min(bucket.at_us, now_us), bucket.count) for bucket in begun if bucket.at_us + window > now_us)
    used = sum(count for _, count in counting)
    if used >= rate.limit:
        for at_us, count in counting:
            used -= count
            if used < rate.limit:
                return Tokens(0, at_us + window)
    if rate.spread and counting:
        next_us = counting[-1][0] + -(-window // rate.limit)
        return Tokens(0, next_us) if next_us > now_us else Tokens(min(most, 1))
    return Tokens(min(most, rate.limit - used, *((1,) if rate.spread else ())))


def counted(rate: RateLimit, begun: Sequence[Bucket], now_us: int, count: int) -> Bucket:
    """The bucket that *count* more go into: the youngest of *begun* with the same ``since_us``, which it replaces, or a new one."""
    youngest = max(begun, key=lambda bucket: bucket.since_us, default=None)
    if youngest is not None and 0 <= now_us - youngest.since_us < length_us(rate) // BUCKETS:
        return Bucket(youngest.since_us, max(now_us, youngest.at_us), youngest.count + count)
    return Bucket(now_us, now_us, count)
