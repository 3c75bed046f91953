"""A module of kernels whose one kernel has no signature, so that it is compiled at its first packet: `tests.kernels.broken`."""

from __future__ import annotations

from types import ModuleType

KERNELS = ModuleType("tests.kernels.broken")
