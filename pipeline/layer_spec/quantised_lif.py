"""Leaky integrate-and-fire neurons behind dense weights of a few bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import check_reset, check_tick, decay, put, put_bias, put_times, put_vectors, vector
from pipeline.layer_spec.lif import Reset

GREATEST = {1: 1, 2: 1, 4: 7, 8: 127}  # the greatest code of so many bits; 2 bits are ternary


@dataclass(frozen=True, eq=False)
class QuantisedLIFSpec:
    """Leaky integrate-and-fire neurons behind dense weights scale[j] code[i, j], the codes being whole numbers of a few bits.

    At every tick, in this order: v <- d v (+ bias) + scale n, n being the sum of code[i] over this tick's input spikes i: a
    whole number, multiplied by the scale once, so that no order of additions matters and scale (x @ code) computed anywhere in
    float32 is the same to the bit (while |n| < 2^24). Where v >= threshold emit a spike and reset: v <- v - threshold
    (`subtract`) or v <- 0 (`to_zero`). d = exp(-tick/tau).

    packed (n_in, bytes) uint8, the codes of n_out units as `pack` makes them; scale (n_out,) or one number, > 0; tau_ms,
    threshold, tick_us, reset, bias: as in LIFSpec. bits: 1 (codes -1 and 1), 2 (-1, 0, 1), 4 (-7..7) or 8 (-127..127).

    Source: Rastegari, Ordonez, Redmon and Farhadi (2016), "XNOR-Net", section 3.1, for a sign(w) with one scale an output.
    """

    packed: np.ndarray
    scale: np.ndarray
    tau_ms: np.ndarray
    threshold: np.ndarray
    bits: int
    tick_us: int | None = None
    reset: Reset = "subtract"
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.bits not in GREATEST:
            raise ValueError(f"bits must be 1, 2 (ternary), 4 or 8, got {self.bits}")
        scale = np.asarray(self.scale, np.float32)
        if scale.ndim != 1 or not scale.size:
            raise ValueError(f"scale must have shape (n_out,), got {scale.shape}")
        put(self, "scale", vector("scale", scale, scale.size, above=0))
        packed = np.array(self.packed, order="C")
        wanted = row_bytes(self.n_out, self.bits)
        if packed.dtype != np.uint8 or packed.ndim != 2 or not packed.size or packed.shape[1] != wanted:
            raise ValueError(f"packed must be uint8 of shape (n_in, {wanted}) for {self.n_out} units of {self.bits} bits, "
                             f"got {packed.dtype} of shape {packed.shape}")
        packed.setflags(write=False)
        put(self, "packed", packed)
        if not np.array_equal(pack(self.codes(), self.bits), packed):
            raise ValueError(f"packed holds codes that {self.bits} bits do not have, or bits behind the last unit")
        put_times(self, self.n_out, "tau_ms")
        put_vectors(self, self.n_out, "threshold", above=0)
        check_tick(self.tick_us)
        check_reset(self.reset)
        put_bias(self, self.n_out)

    @property
    def n_in(self) -> int:
        return self.packed.shape[0]

    @property
    def n_out(self) -> int:
        return self.scale.shape[0]

    def codes(self) -> np.ndarray:
        """(n_in, n_out) int8: the whole numbers that the weights are multiples of."""
        return unpack(self.packed, self.n_out, self.bits)

    def decay(self) -> np.ndarray:
        """(n_out,) float32: what v keeps over one tick (in event mode: over 1 us)."""
        return decay(self.tau_ms, self.tick_us or 1)


def row_bytes(n_out: int, bits: int) -> int:
    """Bytes of one input's codes; ternary: a row of bits for the codes 1, then one for the codes -1."""
    return {1: -(-n_out // 8), 2: 2 * -(-n_out // 8), 4: -(-n_out // 2), 8: n_out}[bits]


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """codes (n_in, n_out) as bytes (n_in, row_bytes). Lowest bits first; 4 bits hold code + 8, 8 bits are an int8.

    >>> pack(np.array([[1, -1, 1]]), 1)
    array([[5]], dtype=uint8)
    """
    codes = np.asarray(codes).astype(np.int16)
    greatest = GREATEST[bits]
    if codes.ndim != 2 or np.abs(codes).max() > greatest or (bits == 1 and (codes == 0).any()):
        raise ValueError(f"codes of {bits} bits are whole numbers from {-greatest} to {greatest}"
                         f"{' without 0' if bits == 1 else ''} of shape (n_in, n_out)")
    if bits == 8:
        return codes.astype(np.int8).view(np.uint8)
    if bits == 4:
        halves = np.pad((codes + 8).astype(np.uint8), ((0, 0), (0, codes.shape[1] % 2)))
        return halves[:, ::2] | halves[:, 1::2] << 4
    signs = [codes > 0] if bits == 1 else [codes > 0, codes < 0]
    return np.concatenate([np.packbits(sign, axis=1, bitorder="little") for sign in signs], axis=1)


def unpack(packed: np.ndarray, n_out: int, bits: int) -> np.ndarray:
    """The reverse of pack: (n_in, n_out) int8."""
    if bits == 8:
        return packed.view(np.int8)
    if bits == 4:
        return np.stack([packed & 15, packed >> 4], axis=2).reshape(packed.shape[0], -1)[:, :n_out].astype(np.int8) - np.int8(8)
    rows = packed.reshape(packed.shape[0], bits, -1)
    signs = np.unpackbits(rows, axis=2, bitorder="little")[:, :, :n_out].astype(np.int8)
    return 2 * signs[:, 0] - np.int8(1) if bits == 1 else signs[:, 0] - signs[:, 1]


def quantise(weight: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """weight (n_in, n_out) -> codes (n_in, n_out) int8 and scale (n_out,) float32, one for each output unit.

    1 bit: sign(w) and mean |w| (Rastegari et al. 2016, eq. 6). Ternary: 0 where |w| <= 0.7 mean |w|, the scale the mean of
    the others' |w| (Li, Zhang and Liu 2016, "Ternary weight networks", eq. 6). 4 and 8 bits: the greatest |w| is the greatest
    code, the rest are rounded to the nearest.
    """
    weight = np.asarray(weight, np.float64)
    size = np.abs(weight)
    if bits == 1:
        codes, scale = np.where(weight < 0, -1, 1), size.mean(0)
    elif bits == 2:
        codes = np.sign(weight) * (size > 0.7 * size.mean(0))
        scale = (size * np.abs(codes)).sum(0) / np.maximum(np.abs(codes).sum(0), 1)
    else:
        scale = size.max(0) / GREATEST[bits]
        codes = np.rint(weight / np.where(scale > 0, scale, 1))
    return codes.astype(np.int8), np.where(scale > 0, scale, 1).astype(np.float32)
