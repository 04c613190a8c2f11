"""Replay of a machine from its history, the comparison with it, and the errors for differences."""
