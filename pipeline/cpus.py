"""The processor cores that stages run on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence


def check_cpus(cpus: Sequence[int] | None) -> None:
    """Raise ValueError unless this process may run on all of `cpus`; None stands for any core."""
    if cpus is None:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError("stages.cpus: this operating system does not let a program choose its cores: leave the option out")
    usable = os.sched_getaffinity(0)
    for cpu in cpus:
        if cpu not in usable:
            raise ValueError(f"stages.cpus: core {cpu} is not one that this program may run on: choose among "
                             f"{', '.join(map(str, sorted(usable)))}, or leave the option out")


@contextlib.contextmanager
def on_cpus(cpus: Sequence[int] | None) -> Iterator[None]:
    """Run the calling thread, and the threads that it starts, on these cores alone; None: as it was."""
    if cpus is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
