"""Damaged bytes for the kernels that decode recordings: no index out of bounds, no event outside of the geometry, no standstill.

`NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=build/checked python -m tests.fuzz_kernels 1000000` gives so many small inputs to each
kernel: the words of a written recording with bits flipped and bytes set anew, or bytes drawn at random, cut off anywhere,
decoded in rooms of any size, all of it compiled. (Numba's cache does not tell kernels with checked indices from others: hence
a folder of their own.) Names may follow the number: only those kernels then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from sources.formats.words import start_position
from sources.kernels import aedat, aedat2, atis, dat, ecf, event_stream, evt2, evt3, evt21, text, triggers
from sources.kernels import position as slot
from tests import table_writers, writers, writers_aedat, writers_event_stream

EVENTS = sorted((17 * i * i % 5000, i * 5 % 34, i // 4 % 34, i % 2) for i in range(14))
WIDTH, HEIGHT, MOST_CALLS = 240, 180, 4
START = start_position()
UNITS = np.array([-1, -1, 32, 0, 40, 33], np.int64)  # of aedat3's kinds of special events


class Kernel(NamedTuple):
    decode: Callable[..., int]
    content: bytes  # of a recording, without its header
    item: str  # what it takes
    word: int = 1  # items of one word
    most: int = 1  # events of one word
    planes: int = 2
    whole: bool = False  # room for all events is asked for
    values: bool = False


def kernels() -> dict[str, Kernel]:
    def after(mark: bytes, content: bytes) -> bytes:
        return content[content.index(mark) + len(mark) :]

    stream, color = writers_event_stream, [(200 * i, i, 40, i, 0, 255) for i in range(12)]
    payloads = [(200 * i, bytes(i % 9)) for i in range(12)]
    words3, words2 = writers.evt3(EVENTS, b""), writers.evt2(EVENTS, b"")
    words21, legacy = writers.evt21(EVENTS, b""), writers.evt21(EVENTS, b"", legacy=True)
    davis, dvs128 = (np.frombuffer(write(EVENTS, b""), ">u4").astype("<u4").tobytes()
                     for write in (writers_aedat.aedat2_davis240, writers_aedat.aedat2_dvs128))
    records4 = b"".join(np.array([t, p << 32 | y << 16 | x], "<i8").tobytes() for t, x, y, p in EVENTS)
    records3 = b"".join(np.array([x << 17 | y << 2 | p << 1 | 1, t], "<u4").tobytes() for t, x, y, p in EVENTS)
    return {
        "evt2": Kernel(evt2.decode, words2, "<u4"),
        "evt2 triggers": Kernel(triggers.decode_evt2, words2, "<u4"),
        "evt21": Kernel(evt21.decode, words21, "<u4", 2, 32),
        "evt21 legacy": Kernel(evt21.decode_legacy, legacy, "<u4", 2, 32),
        "evt21 triggers": Kernel(triggers.decode_evt21, words21, "<u4", 2),
        "evt21 legacy triggers": Kernel(triggers.decode_evt21_legacy, legacy, "<u4", 2),
        "evt3": Kernel(evt3.decode, words3, "<u2", 1, 12),
        "evt3 triggers": Kernel(triggers.decode_evt3, words3, "<u2"),
        "dat v1": Kernel(dat.decode_v1, writers.dat_v1(EVENTS, b"")[2:], "<u4", 2),
        "dat v2": Kernel(dat.decode_v2, writers.dat(EVENTS, b"")[2:], "<u4", 2),
        "nmnist": Kernel(atis.decode, writers.nmnist(EVENTS), "u1", 5),
        "es dvs": Kernel(event_stream.decode_dvs, stream.dvs(EVENTS)[20:], "u1"),
        "es atis": Kernel(event_stream.decode_atis, stream.atis(EVENTS)[20:], "u1"),
        "es atis exposures": Kernel(event_stream.decode_atis_exposures, stream.atis(EVENTS, crossing=1)[20:], "u1"),
        "es dvs v1": Kernel(event_stream.decode_dvs_v1, stream.dvs_v1(EVENTS)[15:], "u1"),
        "es atis v1": Kernel(event_stream.decode_atis_v1, stream.atis_v1(EVENTS)[15:], "u1"),
        "es atis v1 exposures": Kernel(event_stream.decode_atis_v1_exposures, stream.atis_v1(EVENTS, crossing=1)[15:], "u1"),
        "es color": Kernel(event_stream.decode_color, stream.color(color)[20:], "u1", 1, 3, 3, values=True),
        "es color v1": Kernel(event_stream.decode_color_v1, stream.color_v1(color)[15:], "u1", 1, 3, 3, values=True),
        "es generic": Kernel(event_stream.decode_generic, stream.generic(payloads)[16:], "u1"),
        "aedat2 davis": Kernel(aedat2.decode_davis, davis, "<u4", 2),
        "aedat2 dvs128": Kernel(aedat2.decode_dvs128, dvs128, "<u4", 2),
        "aedat2 davis triggers": Kernel(aedat2.decode_davis_triggers, davis, "<u4", 2),
        "aedat2 dvs128 triggers": Kernel(aedat2.decode_dvs128_triggers, dvs128, "<u4", 2),
        "aedat3": Kernel(_with_base(aedat.decode_aedat3), records3, "<u4", 2, whole=True),
        "aedat3 triggers": Kernel(_with_base(aedat.decode_aedat3_triggers, UNITS), records3, "<u4", 2, whole=True),
        "aedat4": Kernel(aedat.decode_aedat4, records4, "<i8", 2, whole=True),
    }


def _with_base(kernel: Any, units: np.ndarray | None = None) -> Any:
    """aedat3's kernels take more arguments than the others."""
    if units is None:
        return njit(lambda items, width, height, position, t, u: kernel(items, 3 << 31, width, height, position, t, u))
    return njit(lambda items, width, height, position, t, u: kernel(items, 3 << 31, units, width, height, position, t, u))


@njit
def damage(content: np.ndarray, row: np.ndarray) -> int:
    """Make the content's damaged copy in `row`. Returns where it ends."""
    row[:] = content
    if np.random.random() < 0.1:
        for at in range(row.size):
            row[at] = np.random.randint(0, 256)
    for _ in range(np.random.randint(0, 4)):
        at = np.random.randint(0, row.size)
        row[at] = row[at] ^ (1 << np.random.randint(0, 8)) if np.random.random() < 0.6 else np.random.randint(0, 256)
    return row.size if np.random.random() < 0.7 else np.random.randint(0, row.size + 1)


def words_test(kernel: Kernel) -> Callable[..., int]:
    """A function (content, inputs, seed, row, tried) -> events, or -1 at an input that does harm; `row` then holds that."""
    decode, item, word, most, whole = kernel.decode, np.dtype(kernel.item), kernel.word, kernel.most, kernel.whole
    values = kernel.values
    word_bytes, units = item.itemsize * kernel.word, kernel.planes * WIDTH * HEIGHT

    @njit
    def run(content, inputs, seed, row, tried):  # type: ignore[no-untyped-def]
        np.random.seed(seed)
        t_us, unit, value, events = np.empty(1024, np.int64), np.empty(1024, np.uint32), np.empty(1024, np.float32), 0
        position = START.copy()
        for number in range(inputs):
            tried[0] = number
            end = damage(content, row)
            items = row[: end // word_bytes * word_bytes].view(item)
            room, at = max(np.random.randint(1, 40), most), 0
            room = items.size // word if whole else room
            position[:] = START
            for _ in range(MOST_CALLS):
                before = position[slot.WORD]
                if values:
                    n = decode(items[at:], WIDTH, HEIGHT, position, t_us[:room], unit[:room], value[:room])
                else:
                    n = decode(items[at:], WIDTH, HEIGHT, position, t_us[:room], unit[:room])
                at += (position[slot.WORD] - before) * word
                if n < 0 or n > room or at > items.size or position[slot.WORD] < before:
                    return -1
                for i in range(n):
                    if unit[i] >= units:
                        return -1
                events += n
                if whole or position[slot.WORD] == before or at >= items.size or position[slot.FAULT_X] >= 0:
                    break
        return events

    return run


@njit
def ecf_test(content, inputs, seed, row, tried):  # type: ignore[no-untyped-def]
    """A block of Prophesee's HDF5 files."""
    np.random.seed(seed)
    t_us, x, y, p, events = np.zeros(64, np.int64), np.zeros(64, np.int64), np.zeros(64, np.int64), np.zeros(64, np.int64), 0
    for number in range(inputs):
        tried[0] = number
        room = np.random.randint(1, 64)
        n = ecf.decode(row[: damage(content, row)], t_us[:room], x[:room], y[:room], p[:room])
        if n < -1 or n > room or x.min() < 0 or y.min() < 0 or p.min() < 0 or x.max() > 2052 or y.max() > 2047 or p.max() > 1:
            return -1
        events += max(n, 0)
    return events


def text_test(fields: np.ndarray) -> Callable[..., int]:
    """Lines of text, the last of which may not be whole."""

    @njit
    def run(content, inputs, seed, row, tried):  # type: ignore[no-untyped-def]
        np.random.seed(seed)
        t_us, unit, values, events = np.empty(1024, np.int64), np.empty(1024, np.uint32), np.empty((1024, 2), np.int64), 0
        position = np.zeros(text.LENGTH, np.int64)
        for number in range(inputs):
            tried[0] = number
            end = damage(content, row)
            room = end // 2 + 1
            position[:] = 0
            n = text.decode(row[:end], 0, fields, 0, WIDTH, HEIGHT, position, t_us[:room], unit[:room], values[:room])
            if n < 0 or n > room:
                return -1
            for i in range(n):
                if unit[i] >= 2 * WIDTH * HEIGHT:
                    return -1
            events += n
        return events

    return run


def fuzz(count: int, names: tuple[str, ...] = (), seed: int = 1) -> dict[str, tuple[int, int]]:
    """How many inputs were tried, and how many events came out of them, by kernel. AssertionError at one that does harm."""
    tests: dict[str, tuple[Callable[..., int], bytes]] = {name: (words_test(row), row.content) for name, row in kernels().items()}
    for style in ("runs", "packed_columns", "packed"):
        tests[f"ecf {style}"] = ecf_test, table_writers.ecf(EVENTS, style)
    for name, order in (("text", [0, 1, 2, 3, -1]), ("text of units and values", [0, 1, -1, -1, 2])):
        tests[name] = text_test(np.array(order, np.int64)), table_writers.text(EVENTS)
    tried = {}
    for name in names or tests:
        test, content = tests[name]
        original, at = np.frombuffer(content, np.uint8).copy(), np.zeros(1, np.int64)
        row = original.copy()
        try:
            events = test(original, count, seed, row, at)
        except IndexError as error:
            raise AssertionError(f"{name}: {error} at input {at[0]}: {row.tobytes().hex()}") from error
        assert events >= 0, f"{name}: input {at[0]} does harm: {row.tobytes().hex()}"
        tried[name] = count, events
        print(f"{name:26} {count:9,} inputs, {events:11,} events", flush=True)
    return tried


if __name__ == "__main__":
    fuzz(int(sys.argv[1]), tuple(sys.argv[2:]))
