"""The rules of a store, once: what a transaction may do, and what it changes. Pure: no I/O, no clock, no asyncio.

1.  A store asks for the reach of a request (`reach`): the executions to lock, the inboxes to read, the dedup keys to look up.
2.  It locks and reads them, and puts them into a `UnitOfWork` with the time of the transaction.
3.  Turns that may be repeats are named by `possible_repeats`; the store looks whether their rows are stored already.
4.  The rules (`turn_rules`, `start_rules`, `UnitOfWork.deliver`) work out each request. They change `LockedExecution`s and note the
    rest in the unit of work, or refuse before they change anything.
5.  The store writes what the unit of work notes, and commits. Nothing is seen before.

Parks and deaths have rules of the same kind (`parking`).

A store may write what concerns one execution only by a faster way of its own, if the result is the same.
"""
