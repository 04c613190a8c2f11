"""The data that a run stores and exchanges with its host: rows, requests, verdicts."""
