"""The kernels of cochlea: sound spectra to the motion of the membrane, and that motion to the spikes of bushy cells."""

# numba stores the kernels that call these together with them: after an edit here, remove the __pycache__ folders.

from __future__ import annotations

import numpy as np
from numba import njit

from operators.kernels.held_values import mix, tick_key

GOLDEN = 0x9E3779B9
REPLENISH, REPROCESS, LOSS, REUPTAKE, RELEASE, PERMEABLE, A, A_PLUS_B, ONE, WEIGHT, SYNAPSE, MEMBRANE, UNIFORM = range(13)
Q, C, W, CURRENT, V = range(5)  # the rows of `cell`
FIRED, REST = range(2)  # the rows of `count` before the ring
SHARE, BASE, ODDS, BELOW = range(4)  # the rows of `share`
MOST_LIKELY = 0.9  # a probability that no hair cell comes near

F1, F2 = "float32[::1]", "float32[:, ::1]"
READ_F1, READ_F2 = "Array(float32, 1, 'C', readonly=True)", "Array(float32, 2, 'C', readonly=True)"
READ_I1 = "Array(int64, 1, 'C', readonly=True)"


@njit(f"void({READ_F2}, {READ_F2}, {READ_I1}, {READ_I1}, {READ_F2}, {READ_F2}, int64, float32, {F2}, {F2})", cache=True)
def filter_block(re, im, first, delay, past_re, past_im, newest, half, total, out):
    """The spectra of every channel's output at half the rate: Y[k] = sum_i H_i[k] X_(newest - delay[i])[k], then folded.

    Taking every other sample folds a spectrum: out[k] = (Y[k] + conj(Y[n - k])) / 2, k = 0..n/2, n being the block.

    re, im (partitions, n + 1), first (channels + 1,), delay (partitions,): as of FilterBank. past_re, past_im (depth, n + 1): the
    spectra of the newest blocks, in a ring. total (2, n + 1): scratch. out (channels, n + 2): n/2 + 1 pairs (re, im). half: 0.5.
    """
    depth, n = past_re.shape[0], re.shape[1] - 1
    for c in range(first.shape[0] - 1):
        for k in range(n + 1):
            total[0, k] = 0
            total[1, k] = 0
        for i in range(first[c], first[c + 1]):
            block = (newest - delay[i]) % depth
            for k in range(n + 1):
                total[0, k] += re[i, k] * past_re[block, k] - im[i, k] * past_im[block, k]
                total[1, k] += re[i, k] * past_im[block, k] + im[i, k] * past_re[block, k]
        for k in range(n // 2 + 1):
            out[c, 2 * k] = half * (total[0, k] + total[0, n - k])
            out[c, 2 * k + 1] = half * (total[1, k] - total[1, n - k])


@njit(f"void({READ_F1}, {F2}, {F1}, int64, int64, int64, {READ_F1}, {F1})", cache=True)
def hair_cells(s, cell, p, n_channels, first_key, second_key, law, draw):
    """One sample of every hair cell, its probability of a spike a fibre into p (channels,), and a random number into draw.

        k = g dt max(0, (s + A) / (s + A + B))
        q' = q + y dt (1 - q) - k q + x dt w      c' = c + k q - (l + r) dt c      w' = w + r dt c - x dt w      p = h dt c'

    Nothing falls below 0.
    """
    zero = law[ONE] - law[ONE]
    for j in range(n_channels):
        above = s[j] + law[A]
        k = law[PERMEABLE] * above / (s[j] + law[A_PLUS_B]) if above > zero else zero
        q, c, w = cell[Q, j], cell[C, j], cell[W, j]
        fresh = law[REPLENISH] * (law[ONE] - q) if q < law[ONE] else zero
        ejected, again = k * q, law[REPROCESS] * w
        q = q + fresh - ejected + again
        w = w + law[REUPTAKE] * c - again
        c = c + ejected - law[LOSS] * c
        cell[Q, j] = q if q > zero else zero
        cell[C, j] = c if c > zero else zero
        cell[W, j] = w if w > zero else zero
        p[j] = law[RELEASE] * cell[C, j]
    for j in range(n_channels):
        draw[j] = law[UNIFORM] * np.float32(mix(mix(j ^ first_key) ^ second_key) >> 8)


@njit(f"void({READ_F1}, {READ_F1}, int32[:, ::1], int64, int64, int64, float64[:, ::1], {F1})", cache=True)
def fibres(p, draw, count, row, n_fibres, n_channels, share, released):
    """How many fibres of each channel fire: binomial among those that did not within the refractory period.

    The smallest k with P(N <= k) > draw, where P(N = k) = n! / (k! (n - k)!) p^k (1 - p)^(n - k); channels side by side.

    count (2 + ring, channels) int32: row FIRED holds the sum of the ring; the ring's rows, from REST + 1 on, those that fired in
    the last samples. `row` is the oldest, whose fibres are free again and which this sample replaces. share (4, channels):
    scratch. released (channels,): the number that fires.
    """
    for j in range(n_channels):
        count[FIRED, j] -= count[row, j]
        count[row, j] = n_fibres - count[FIRED, j]
        share[SHARE, j] = 1.0
        share[BASE, j] = 1.0 - min(float(p[j]), MOST_LIKELY)
        share[ODDS, j] = (1.0 - share[BASE, j]) / share[BASE, j]
        released[j] = 0
    bit = 1
    while bit <= n_fibres:
        for j in range(n_channels):
            base = share[BASE, j]
            share[SHARE, j] *= base if count[row, j] & bit else 1.0
            share[BASE, j] = base * base
        bit *= 2
    for j in range(n_channels):
        share[BELOW, j] = share[SHARE, j]
    k, going = 0, 1
    while going and k < n_fibres:
        going = 0
        inverse = 1.0 / (k + 1)
        for j in range(n_channels):
            more = float(draw[j]) >= share[BELOW, j] and k < count[row, j]
            released[j] += more
            going += more
            share[SHARE, j] *= share[ODDS, j] * (count[row, j] - k) * inverse
            share[BELOW, j] += share[SHARE, j]
        k += 1
    for j in range(n_channels):
        count[row, j] = np.int32(released[j])
        count[FIRED, j] += count[row, j]


@njit(f"void({READ_F1}, {F2}, int32[:, ::1], int64, int64, {READ_F1}, uint8[::1])", cache=True)
def bushy_cells(released, cell, count, period, n_channels, law, fires):
    """One sample of every bushy cell: i' = i e^(-dt/tau_s) + fibres; v' = v e^(-dt/tau_m) + dt weight i', until v' >= 1."""
    zero = law[ONE] - law[ONE]
    for j in range(n_channels):
        i = cell[CURRENT, j] * law[SYNAPSE] + released[j]
        rest = count[REST, j]
        v = cell[V, j] * law[MEMBRANE] + law[WEIGHT] * i if rest == 0 else zero
        fired = v >= law[ONE]
        cell[CURRENT, j] = i
        cell[V, j] = zero if fired else v
        count[REST, j] = period if fired else rest - 1 if rest > 0 else 0
        fires[j] = fired


@njit(f"int64({READ_F2}, int64, int64, int64, float64, {F2}, int32[:, ::1], int64, int64, {READ_F1}, {F2}, "
      "float64[:, ::1], uint8[::1], int64[::1], uint32[::1])", cache=True)  # fmt: skip
def hear(motion, first, sample, seed, rate_hz, cell, count, n_fibres, period, law, scratch, share, fires, out_t_us, out_unit):
    """Runs hair and bushy cells over the samples motion[first:] (samples, channels); `sample` is the number of the first of them.

    cell (5, channels): q, c, w, i, v. count: see `fibres`, row REST holding how long a bushy cell still rests.
    scratch (3, channels), share (4, channels), fires (channels,). Spikes of sample n are stamped round(2 n 1e6 / rate_hz);
    sorted by (t, unit). Returns how many there are.
    """
    n_channels = motion.shape[1]
    ring = count.shape[0] - 2
    written = 0
    for m in range(first, motion.shape[0]):
        n = sample + m - first
        hair_cells(motion[m], cell, scratch[0], n_channels, tick_key(seed, n), tick_key(seed ^ GOLDEN, n), law, scratch[1])
        fibres(scratch[0], scratch[1], count, 2 + n % ring, n_fibres, n_channels, share, scratch[2])
        bushy_cells(scratch[2], cell, count, period, n_channels, law, fires)
        t_us = np.int64(np.rint(2 * n * 1e6 / rate_hz))
        for j in range(n_channels):
            if fires[j]:
                out_t_us[written] = t_us
                out_unit[written] = j
                written += 1
    return written
