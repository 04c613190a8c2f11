"""`redrive demo`: the order workflow, and what `kill -9` cannot do to it."""
