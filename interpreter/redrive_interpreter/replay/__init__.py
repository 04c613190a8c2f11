"""A machine from its history, the comparison with it, and what differs."""
