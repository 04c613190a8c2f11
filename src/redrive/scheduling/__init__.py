"""When schedules fire: pure code, which neither reads a clock nor knows a store.

1.  A *slot* is a moment at which a schedule fires. Slots follow from the cadence and the slot before, never from the time at
    which somebody looked (`cadence`).
2.  Slots and cadence are wall-clock times in the schedule's zone where they name hours, and real time where they do not: a
    02:30 job runs once on each date, a job of every 15 minutes has 92 or 100 slots on a day on which clocks change.
3.  `decisions` says what becomes of the slots that are due: started, skipped with a reason, or left until the execution before
    has ended. A worker computes it and the store compares: a change by another worker meanwhile makes it void.
4.  A slot's execution has an id made of schedule and slot, so that it cannot be started twice (`slot_names`).
"""
