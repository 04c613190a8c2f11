"""The process is killed at sampled points, and nothing is lost or done twice that need not be."""
