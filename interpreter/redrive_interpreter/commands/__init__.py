"""The commands that users yield, and the functions that build them."""
