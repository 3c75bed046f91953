"""What tests do with snapshots: bring them through a file, compare them, fill them with nonsense."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from pipeline.contract import State


def through_file(state: State) -> State:
    """The state as a checkpoint brings it back: plain arrays, no pickle."""
    file = io.BytesIO()
    assert all(isinstance(array, np.ndarray) and array.dtype != object for array in state.values()), "not plain arrays"
    np.savez(file, allow_pickle=False, **state)
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def state_content(state: State) -> dict[str, tuple[Any, ...]]:
    return {key: (array.dtype.str, array.shape, array.tobytes()) for key, array in state.items()}


def state_schema(state: State) -> dict[str, str]:
    assert all(isinstance(array, np.ndarray) and array.dtype != object for array in state.values()), "not plain arrays"
    return {key: array.dtype.kind if array.dtype.kind in "US" else array.dtype.str for key, array in state.items()}


def scribble(state: State) -> None:
    """Fills a snapshot with nonsense."""
    for array in state.values():
        if array.flags.writeable and array.nbytes:
            array[...] = np.frombuffer(b"\xa5" * array.nbytes, array.dtype).reshape(array.shape)
