"""Vectors in kernels: this processor, a plainer one and plain Python compute the same bits."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from operators.lanes import (
    add_row,
    add_sixteen,
    all_lanes,
    columns_of,
    early,
    fired_mask,
    ones,
    put_aside,
    step,
    taken,
    write_units,
)

RNG = np.random.default_rng(7)
ROWS, TICKS = 30, 12
SIGNS = RNG.integers(0, 2**64, (2, ROWS, 2), dtype=np.uint64)
SIGNS[:, -1] = 0  # the last row adds nothing
BYTES = RNG.integers(-7, 8, (ROWS, 256)).astype(np.int8)
BYTES[-1] = 0
KINDS = {
    "words": (np.ascontiguousarray(SIGNS.transpose(0, 2, 1).reshape(4, ROWS)), np.int8),
    "pairs of words": (SIGNS, np.int8),
    "bytes": (BYTES, np.int8),
    "bytes, sums of two": (BYTES, np.int16),
}


@njit
def course(codes, like, unit, v, aside, scale, threshold, fired):
    for tick in range(fired.shape[0]):
        held = min(tick, 11) + 5
        for block in range(v.shape[0] // columns_of(codes)):
            sums = add_sixteen(all_lanes(like, codes, -held), codes, block, unit, tick, held)
            if tick % 3 == 0:
                put_aside(add_row(sums, codes, block, unit[0]), aside, block)
                step(taken(aside, codes, block), v, block, scale, threshold, np.float32(1), tick % 2, fired, tick)
            else:
                step(sums, v, block, scale, threshold, np.float32(0.9), tick % 2, fired, tick)
    return fired_mask(v, threshold, 1)


@njit
def events_and_spikes(t_us, end_us, masks, out_unit, counts):
    to = np.uint64(0)
    for k in range(masks.shape[0]):
        counts[k] = early(t_us, k, end_us) + 100 * ones(masks[k])
        to += write_units(masks[k], np.uint32(64 * k), out_unit, to)
    return to


def of_kind(kind):
    """What a kind of codes leads to, as text."""
    (codes, like), rng, lanes = KINDS[kind], np.random.default_rng(3), 256
    v, aside, fired = rng.normal(size=lanes).astype(np.float32), np.zeros(lanes, np.int32), np.zeros((TICKS, 4), np.uint64)
    scale, threshold = rng.uniform(0.01, 0.3, lanes).astype(np.float32), np.ones(lanes, np.float32)
    unit = rng.integers(0, ROWS - 1, 40).astype(np.uint32)
    mask = course(codes, np.empty(0, like), unit, v, aside, scale, threshold, fired)
    assert fired.any()
    assert not aside.any()
    return f"{kind}: {v.tobytes().hex()} {fired.tolist()} {int(mask)}"


def of_events():
    rng, t_us = np.random.default_rng(1), np.arange(20, dtype=np.int64) // 3
    masks = rng.integers(0, 2**64, 6, dtype=np.uint64)
    masks[[1, 2]] = 0, 2**64 - 1
    masks[3:] &= rng.integers(0, 2**64, 3, dtype=np.uint64) & rng.integers(0, 2**64, 3, dtype=np.uint64)
    units, counts = np.zeros(6 * 64 + 64, np.uint32), np.zeros(6, np.int64)
    n = int(events_and_spikes(t_us, 4, masks, units, counts))
    assert units[:n].tolist() == [64 * k + c for k, mask in enumerate(masks.tolist()) for c in range(64) if mask >> c & 1]
    assert counts.tolist() == [12 - k + 100 * mask.bit_count() for k, mask in enumerate(masks.tolist())]


def test_spikes_of_masks_and_early_events_are_those_of_plain_python():
    of_events()


def test_both_forms_of_packed_signs_are_the_same_weights():
    words, pairs = of_kind("words"), of_kind("pairs of words")
    assert words.split(": ")[1] == pairs.split(": ")[1]


@pytest.mark.parametrize("other", [{"NUMBA_DISABLE_JIT": "1"}, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}],
                         ids=["plain Python", "a processor with nothing special"])  # fmt: skip
def test_they_compute_the_same_bits_elsewhere(other):
    command = [sys.executable, "-c", "from tests.test_lanes import *\nof_events()\nprint(*map(of_kind, KINDS), sep='\\n')"]
    run = subprocess.run(command, env=os.environ | other, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [of_kind(kind) for kind in KINDS]
