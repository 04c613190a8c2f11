"""Speed, as ratios to baselines timed in the same run. Not part of the tests: `make bench`."""
