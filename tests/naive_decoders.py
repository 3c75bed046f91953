"""The slow plain truth of the decoders of words: numbers go in, events (t_us, unit) and what else there was come out.

Each takes a whole recording, word by word, as the format's description reads; nothing is shared with the kernels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Decoded:
    """Events in the order of the file, up to the end or the first one outside of the geometry (fault: x, y)."""

    events: list[tuple[int, int]] = field(default_factory=list)
    fault: tuple[int, int] | None = None
    incomplete: int = 0
    triggers: int = 0
    unknown: int = 0

    @property
    def backwards(self) -> int:
        count, newest_us = 0, -(2**62)
        for t_us, _ in self.events:
            count += t_us < newest_us
            newest_us = max(newest_us, t_us)
        return count

    def place(self, t_us: int, x: int, y: int, polarity: int, width: int, height: int) -> bool:
        """Note an event, or the fault that it is."""
        if x >= width or y >= height:
            self.fault = x, y
            return False
        self.events.append((t_us, (polarity * height + y) * width + x))
        return True


class Clock:
    """A counter that wraps: it has wrapped where it falls by more than half of its range."""

    def __init__(self, bits: int) -> None:
        self._range, self.value, self.wraps = 1 << bits, None, 0

    def tell(self, value: int) -> None:
        if self.value is not None and self.value - value > self._range // 2:
            self.wraps += 1
        self.value = value


def evt2(words: Iterable[int], width: int, height: int) -> Decoded:
    found, clock = Decoded(), Clock(28)
    for word in words:
        kind = word >> 28
        if kind in (0, 1):
            if clock.value is None:
                found.incomplete += 1
                continue
            t_us = ((clock.wraps << 28) + clock.value << 6) + (word >> 22 & 63)
            if not found.place(t_us, word >> 11 & 0x7FF, word & 0x7FF, kind, width, height):
                break
        elif kind == 8:
            clock.tell(word & 0xFFFFFFF)
        elif kind == 10:
            found.triggers += 1
        elif kind not in (14, 15):
            found.unknown += 1
    return found


def evt3(words: Iterable[int], width: int, height: int) -> Decoded:
    found, clock = Decoded(), Clock(12)
    low = y = base = None
    polarity = 0
    for word in words:
        kind, payload = word >> 12, word & 0xFFF
        known = clock.value is not None and low is not None and y is not None
        t_us = ((clock.wraps << 12) + clock.value << 12) + low if known else 0
        if kind == 0:
            y = payload & 0x7FF
        elif kind == 6:
            low = payload
        elif kind == 8:
            clock.tell(payload)
        elif kind == 3:
            base, polarity = payload & 0x7FF, payload >> 11
        elif kind == 2 and not known:
            found.incomplete += 1
        elif kind == 2:
            if not found.place(t_us, payload & 0x7FF, y, payload >> 11, width, height):
                break
        elif kind in (4, 5):
            columns = [i for i in range(12 if kind == 4 else 8) if payload >> i & 1]
            if not known or base is None:
                found.incomplete += len(columns)
            elif any(base + i >= width or y >= height for i in columns):  # none of the word's events come out
                found.fault = next((base + i, y) for i in columns if base + i >= width or y >= height)
                break
            else:
                found.events += [(t_us, (polarity * height + y) * width + base + i) for i in columns]
            base = None if base is None else base + (12 if kind == 4 else 8)
        elif kind == 10:
            found.triggers += 1
        elif kind not in (7, 14, 15):
            found.unknown += 1
    return found


def dat(words: Iterable[int], width: int, height: int, x_bits: int, y_bits: int) -> Decoded:
    found, clock = Decoded(), Clock(32)
    pairs = iter(words)
    for raw, address in zip(pairs, pairs, strict=False):
        x, y = address & (1 << x_bits) - 1, address >> x_bits & (1 << y_bits) - 1
        if x < width and y < height:
            clock.tell(raw)
        if not found.place((clock.wraps << 32) + raw, x, y, address >> x_bits + y_bits & 1, width, height):
            break
    return found


def aedat4(records: Iterable[int], width: int, height: int) -> Decoded:
    found = Decoded()
    pairs = iter(records)
    for t_us, address in zip(pairs, pairs, strict=False):
        if not found.place(t_us, address & 0xFFFF, address >> 16 & 0xFFFF, int(address >> 32 & 0xFF != 0), width, height):
            break
        if abs(t_us) >= 2**60:
            found.events.pop()
            found.fault = address & 0xFFFF, -1
            break
    return found
