"""Acts of operators on executions: each act works out an edited history from the old one, shows it, and has it stored.

1.  Pure: `cuts` takes a history apart, `causes_of_ends` finds out what ended it, `edits` makes a new one for each act,
    `rehearsals` replays that on the code here, `change_report` tells the difference. The test kit plays the same functions.
2.  `acts` reads, rehearses off the event loop, and stores with one compare-and-set (`Rewrite`); where the execution has gone on
    meanwhile it looks again.
3.  An act is refused before anything is stored (`OperationRefused`), and the refusal names the key or the verb that would do.
"""
