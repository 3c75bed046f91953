"""Which unit the times of a table are in: told by the option, by a name or an attribute, or by the numbers themselves.

The rules, the first that applies wins:

1. the option `time_unit`;
2. the column's name or attribute: `t_us`, `timestamp_ns`, `t [s]`, `time (ms)`, an Arrow timestamp type;
3. whole numbers are microseconds; from 10**17 on (nanoseconds since 1970) they are nanoseconds; between 10**12 and 10**13
   (milliseconds since 1970, or microseconds of a sensor that has run for 12 days and more) they are ambiguous: an error;
4. fractions are seconds, if some of the times are finer than a millisecond when read so; else they are ambiguous: an error
   (milliseconds with three decimals look like it).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sources.formats.header import US_PER, TimeUnit

SUFFIX = re.compile(r"(?:_|\s*[\[(])(s|sec|seconds|ms|us|usec|µs|ns|nsec)[\])]?$")
SAME = {"sec": "s", "seconds": "s", "usec": "us", "µs": "us", "nsec": "ns"}
LATEST_US = float(2**60)  # times beyond are damage


def unit_of_name(name: str) -> tuple[str, TimeUnit | None]:
    """A column's name without its unit, and the unit.

    >>> unit_of_name("timestamp_us"), unit_of_name("t [s]"), unit_of_name("t")
    (('timestamp', 'us'), ('t', 's'), ('t', None))
    """
    match = SUFFIX.search(name.strip().lower())
    if not match:
        return name.strip().lower(), None
    return name.strip().lower()[: match.start()], SAME.get(match[1], match[1])  # type: ignore[return-value]


def unit_of_times(path: Path, t: np.ndarray) -> TimeUnit:
    """The unit that the first times of a recording suggest (rules 3 and 4)."""
    if np.issubdtype(t.dtype, np.integer):
        first = abs(int(t[0])) if t.size else 0
        if 10**12 <= first < 10**13:
            raise ValueError(f"{path}: times such as {t[0]} may be milliseconds or microseconds: set time_unit")
        return "ns" if first >= 10**17 else "us"
    with np.errstate(invalid="ignore", over="ignore"):
        ms = t.astype(np.float64) * 1000.0
        whole = np.isfinite(ms).all() and (np.abs(ms - np.rint(ms)) < 9e-4).all()
    if ms.any() and whole:
        raise ValueError(f"{path}: fractional times such as {t[-1]:.12g} may be seconds or milliseconds: set time_unit")
    return "s"


def in_us(path: Path, t: np.ndarray, unit: str, row: int) -> np.ndarray:
    """Times of any type as int64 us, rounded to the nearest (halves to even). row: number of the first, for the error."""
    if np.issubdtype(t.dtype, np.integer) and unit == "us":
        wrong = t > np.uint64(2**60) if t.dtype.kind == "u" else np.abs(t.astype(np.int64)) > 2**60
        exact = t.astype(np.int64)
    elif np.issubdtype(t.dtype, np.integer) and unit == "ns":
        wrong = t > np.uint64(2**63 - 1) if t.dtype == np.uint64 else np.zeros(t.size, bool)
        quotient, rest = np.divmod(t.astype(np.int64), 1000)
        exact = quotient + ((rest > 500) | ((rest == 500) & (quotient & 1 == 1)))
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.rint(t.astype(np.float64) * 1e6) if unit == "s" else _scaled(t, unit)
            wrong = ~(np.abs(scaled) <= LATEST_US)
        exact = np.where(wrong, 0.0, scaled).astype(np.int64)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"{path}: the time of event {row + at} cannot be {t[at]} {unit}: set time_unit, or the file is damaged")
    return exact


def _scaled(t: np.ndarray, unit: str) -> np.ndarray:
    if unit == "ns":  # a division rounds once, a product with 0.001 twice
        return np.rint(t.astype(np.float64) / 1000.0)
    return np.rint(t.astype(np.float64) * US_PER[unit])
