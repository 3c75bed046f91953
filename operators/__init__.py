"""The operators: encoders, filters, spiking layers, delays and readouts."""
