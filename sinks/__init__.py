"""The sinks: where packets and decisions go."""
