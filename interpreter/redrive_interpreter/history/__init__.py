"""What is stored and what is asked of the host: rows, requests, verdicts."""
