"""Decoding kernels: plain compiled functions on arrays, nothing else."""
