"""Kernels of the sources: plain compiled functions on arrays, nothing else."""
