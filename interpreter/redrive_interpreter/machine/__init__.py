"""One run: facts in, requests out."""
