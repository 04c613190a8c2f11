"""`redrive demo`: an order workflow that survives `kill -9`."""
