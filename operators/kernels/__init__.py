"""Compiled kernels: @njit functions on arrays, nothing else."""
