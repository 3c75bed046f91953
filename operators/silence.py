"""How a layer of neurons with two states passes through silence: its matrices go in; powers of them and a bound come out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVELS = 48  # powers of two up to 2^47 ticks are kept; longer gaps take the last one several times
LONGEST = 2**16  # ticks for which a response is followed
MARGIN = 2.0**-18  # relative; covers the rounding of the bound, eight float32 operations on positive numbers, 2^-21 together


@dataclass(frozen=True)
class Silence:
    """What n ticks without input make of the states (x, y) of each neuron, and when none of them can make it fire.

    A silent tick is (x, y) <- A (x, y) + b; what is compared with the threshold is c . (x, y) after it. powers: for
    operators.kernels.ticks.pass_silence. bound (7, n_out) float32: two rows of the rest r = A r + b; four of the gains

        max(0, (c A^n)_x), max(0, -(c A^n)_x), max(0, (c A^n)_y), max(0, -(c A^n)_y), each the greatest over all n >= 1;

    one of the room, threshold - c . r. With e = (x, y) - r the potential after n silent ticks is c . r + c A^n e, at most
    c . r + gain_x+ max(0, e_x) + gain_x- max(0, -e_x) + gain_y+ max(0, e_y) + gain_y- max(0, -e_y): while this sum of gains
    is below the room, silence of any length makes no spike. A neuron without a rest, or whose rest lies above its threshold,
    has no room: its ticks are run.
    """

    powers: np.ndarray
    bound: np.ndarray


def make_silence(matrix: np.ndarray, drive: np.ndarray, read: np.ndarray, threshold: np.ndarray,
                 gains: np.ndarray | None = None) -> Silence:
    """matrix A (2, 2, n_out), drive b (2, n_out), read c (2, n_out), all float64; threshold (n_out,).

    gains (4, n_out): those of the bound, where a formula has them; they are followed tick by tick otherwise.
    """
    if gains is None:
        from operators.kernels.ticks import greatest_responses

        gains = np.empty((4, matrix.shape[2]))
        greatest_responses(np.ascontiguousarray(matrix), np.ascontiguousarray(read), LONGEST, gains)
    rest, has_rest = _rest(matrix, drive)
    room = threshold.astype(np.float64) - (read * rest).sum(0)
    greatest = np.stack([gains[:2].max(0), gains[2:].max(0)])
    room -= MARGIN * (threshold + (np.abs(rest) * (np.abs(read) + greatest)).sum(0))
    room = np.where(has_rest & (room > 0), room, -1.0)
    bound = np.concatenate([rest, gains * (1 + MARGIN), room[None]])
    return Silence(_powers(matrix, drive), np.clip(bound, -1e30, 1e30).astype(np.float32))


def greatest_charge(a: np.ndarray, d: np.ndarray) -> np.ndarray:
    """(n_out,): the most that a current of 1 makes of v = 0 in any number n of silent ticks, a (a^n - d^n) / (a - d).

    It rises to one maximum, at n = log(log d / log a) / log(a / d); where a = d the term is n a^n, at its greatest at -1 / log a.
    What rises for ever stays below a / (1 - a) or a / (1 - d).
    """
    with np.errstate(all="ignore"):
        peak = np.where(a == d, -1 / np.log(a), np.log(np.log(d) / np.log(a)) / np.log(a / d))
        found = np.zeros_like(a)
        for n in (np.ones_like(a), np.floor(peak), np.ceil(peak)):
            n = np.maximum(np.where(np.isfinite(n), n, 1), 1)
            found = np.fmax(found, np.where(a == d, n * a**n, a * (a**n - d**n) / (a - d)))
        found = np.where((a == 1) | (d == 1), a / (1 - np.minimum(a, d)), found)
    return np.minimum(np.nan_to_num(found, nan=1e30), 1e30)


def _rest(matrix: np.ndarray, drive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """r = A r + b, (2, n_out), and where there is one; nothing drives a neuron whose b is 0 away from 0."""
    (a, b), (c, d) = matrix
    det = (1 - a) * (1 - d) - b * c
    with np.errstate(all="ignore"):
        rest = np.stack([(1 - d) * drive[0] + b * drive[1], c * drive[0] + (1 - a) * drive[1]]) / det
    idle = (drive == 0).all(0)
    found = idle | np.isfinite(rest).all(0)
    return np.where(found & ~idle, rest, 0.0), found


def _powers(matrix: np.ndarray, drive: np.ndarray) -> np.ndarray:
    """(LEVELS, 2, 3, n_out): of 2^k silent ticks, each the one before done twice. What overflows is kept finite, so that a state
    at 0 stays there: a neuron that grows without bound passes silence in no other state."""
    step = np.concatenate([matrix, drive[:, None]], axis=1)
    powers = [step]
    with np.errstate(all="ignore"):
        for _ in range(LEVELS - 1):
            (a, b, e), (c, d, f) = step
            step = np.stack([np.stack([a * a + b * c, a * b + b * d, a * e + b * f + e]),
                             np.stack([c * a + d * c, c * b + d * d, c * e + d * f + f])])
            step = np.nan_to_num(step, nan=1e300, posinf=1e300, neginf=-1e300)
            powers.append(step)
    return np.ascontiguousarray(np.stack(powers))
