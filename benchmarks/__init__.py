"""Measurements: speed, with the correctness check in the same run."""
