"""A third store: a directory of JSON files. What a store costs that runs the rules of the ledger, with nothing else clever in it."""
