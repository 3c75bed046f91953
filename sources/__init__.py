"""The sources: recordings, datasets, simulated and live sensors."""
