"""The kernels of EVT2, EVT3, DAT and AEDAT4 against the slow plain truth, on random words, however these and the room are cut."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.formats.words import start_position
from sources.kernels import aedat, dat, evt2, evt3
from sources.kernels import position as slot
from tests import naive_decoders as naive

WIDTH, HEIGHT = 2040, 700  # so that columns reach to the end of the addresses


def climbing(rng: np.random.Generator, n: int, bits: int, step: float) -> np.ndarray:
    """A counter that climbs, wraps and now and then goes back a little."""
    steps = rng.poisson(step, n) + rng.integers(-1, 2, n) * (rng.random(n) < 0.01)
    return (rng.integers(1 << bits) + np.cumsum(steps)) % (1 << bits)


def evt2_words(rng: np.random.Generator, n: int, rare: float) -> np.ndarray:
    kind = np.where(rng.random(n) < rare, rng.integers(0, 16, n), rng.integers(0, 2, n))
    low = rng.integers(0, 64, n)
    low = np.sort(low) if rng.random() < 0.5 else low
    event = low << 22 | rng.integers(0, WIDTH, n) << 11 | rng.integers(0, HEIGHT, n)
    high = climbing(rng, n, 28, rng.choice([0.1, 2.0**20]))
    payload = np.where(kind == 8, high, event)
    return (kind << 28 | payload & 0xFFFFFFF).astype(np.uint32)


def evt3_words(rng: np.random.Generator, n: int, rare: float) -> np.ndarray:
    usual = rng.choice([0, 2, 2, 2, 6, 8] if rng.random() < 0.5 else [0, 2, 3, 3, 4, 4, 5, 6], n)
    kind = np.where(rng.random(n) < rare, rng.integers(0, 16, n), usual)
    payload = rng.integers(0, 4096, n)
    payload = np.where(kind == 8, climbing(rng, n, 12, rng.choice([0.1, 5.0, 300.0])), payload)
    payload = np.where(kind == 0, payload % HEIGHT | payload & 0x800, payload)
    edge = rng.integers(0, WIDTH - (0 if rng.random() < 0.5 else 60), n)
    return (kind << 12 | np.where((kind == 2) | (kind == 3), edge | payload & 0x800, payload)).astype(np.uint16)


def dat_words(rng: np.random.Generator, n: int, rare: float, x_bits: int = 14, y_bits: int = 14) -> np.ndarray:
    t = climbing(rng, n, 32, rng.choice([3.0, 2.0**22]))
    x, y = rng.integers(0, min(WIDTH, 1 << x_bits), n), rng.integers(0, min(HEIGHT, 1 << y_bits), n)
    address = rng.integers(0, 8, n) << (x_bits + y_bits) | y << x_bits | x
    return np.column_stack([t, address]).astype(np.uint32).ravel()


def aedat4_records(rng: np.random.Generator, n: int, rare: float) -> np.ndarray:
    t = np.cumsum(rng.integers(0, 3, n)) - rng.integers(0, 9, n) * (rng.random(n) < rare) + rng.integers(-(2**59), 2**59)
    address = rng.integers(0, 2, n) << 32 | rng.integers(0, HEIGHT, n) << 16 | rng.integers(0, WIDTH, n)
    return np.column_stack([t, address]).ravel()


FORMATS: dict[str, tuple[Callable, Callable, Callable, int, int]] = {  # words, kernel, truth, items and most events of a word
    "evt2": (evt2_words, evt2.decode, naive.evt2, 1, 1),
    "evt3": (evt3_words, evt3.decode, naive.evt3, 1, 12),
    "dat v1": (lambda *given: dat_words(*given, 9, 8), dat.decode_v1, lambda *given: naive.dat(*given, 9, 8), 2, 1),
    "dat v2": (dat_words, dat.decode_v2, lambda *given: naive.dat(*given, 14, 14), 2, 1),
    "aedat4": (aedat4_records, aedat.decode_aedat4, naive.aedat4, 2, 1),
}


def pieces(kernel: Callable, words: np.ndarray, items: int, most: int, rng: np.random.Generator, whole: bool) -> tuple:
    """All events, decoded piece by piece into room of any size, and the position at the end."""
    position, found, at = start_position(), [], 0
    while at < words.size // items:
        count = int(rng.integers(1, 2 * words.size))
        piece = words[at * items : (at + max(1, count // items)) * items]
        room = piece.size // items if whole else int(rng.integers(most, 3000)) + 4
        t_us, unit = np.empty(room, np.int64), np.empty(room, np.uint32)
        before = int(position[slot.WORD])
        n = kernel(piece, WIDTH, HEIGHT, position, t_us, unit)
        found += list(zip(t_us[:n].tolist(), unit[:n].tolist(), strict=True))
        at += piece.size // items if whole else int(position[slot.WORD]) - before
        if position[slot.FAULT_X] >= 0:
            break
    return found, position


@pytest.mark.parametrize("name", FORMATS)
def test_kernels_decode_random_words_as_the_plain_truth_does(name):
    make, kernel, truth, items, most = FORMATS[name]

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2**32), st.integers(1, 6000), st.sampled_from([0.0, 0.002, 0.05, 0.5]), st.booleans())
    def check(seed: int, n: int, rare: float, outside: bool) -> None:
        rng = np.random.default_rng(seed)
        words = make(rng, n, rare)
        if outside:
            words[rng.integers(0, words.size)] ^= words.dtype.type(1 << int(rng.integers(8 * words.itemsize - 1)))
        words.flags.writeable = False
        wanted = truth(words.tolist(), WIDTH, HEIGHT)
        found, position = pieces(kernel, words, items, most, rng, whole=name == "aedat4")
        assert found == wanted.events
        fault = int(position[slot.FAULT_X]), int(position[slot.FAULT_Y])
        assert wanted.fault == (fault if fault[0] >= 0 else None)
        assert position[slot.EVENTS] == len(wanted.events)
        assert position[slot.BACKWARDS] == wanted.backwards
        counted = tuple(position[[slot.INCOMPLETE, slot.TRIGGERS, slot.UNKNOWN]].tolist())
        assert counted == (wanted.incomplete, wanted.triggers, wanted.unknown)

    check()
