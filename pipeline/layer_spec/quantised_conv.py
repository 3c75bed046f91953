"""Leaky integrate-and-fire neurons behind a convolution with weights of a few bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.layer_spec.checks import check_tick, put, vector
from pipeline.layer_spec.conv import ConvLIFSpec, Pair, pair
from pipeline.layer_spec.lif import Reset
from pipeline.layer_spec.quantised_lif import GREATEST, pack, row_bytes, unpack


@dataclass(frozen=True, eq=False)
class QuantisedConvLIFSpec:
    """Leaky integrate-and-fire neurons behind a convolution with weights scale[o] code[o, i, ky, kx], codes of a few bits.

    At every tick, in this order: n = sum of the patches of codes of this tick's input spikes, as in ConvLIFSpec: a whole number;
    v <- d v + b + scale n; where v >= threshold emit a spike and reset: v <- v - threshold (`subtract`) or v <- 0 (`to_zero`).
    d = exp(-tick/tau). n is multiplied by the scale once, so no order of additions matters and convolving the codes anywhere in
    float32 gives the same number (while |n| < 2^24).

    packed (c_in kh kw, bytes) uint8: the codes, c_out of them a row, as `pack` of quantised_lif makes them; scale (c_out,) > 0;
    tau_ms, threshold, bias, shape_in, stride, padding, tick_us, reset: as in ConvLIFSpec. kernel: sides of the kernel. bits: 1
    (codes -1 and 1), 2 (-1, 0, 1), 4 (-7..7) or 8 (-127..127).

    Source: Rastegari, Ordonez, Redmon and Farhadi (2016), "XNOR-Net", section 3.1, for a sign(w) with one scale a filter.
    """

    packed: np.ndarray
    scale: np.ndarray
    tau_ms: np.ndarray
    threshold: np.ndarray
    bits: int
    shape_in: tuple[int, int, int]
    kernel: Pair
    tick_us: int
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    reset: Reset = "subtract"
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.bits not in GREATEST:
            raise ValueError(f"bits must be 1, 2 (ternary), 4 or 8, got {self.bits}")
        check_tick(self.tick_us, needed=True)
        put(self, "kernel", pair("kernel", self.kernel, 1))
        scale = np.asarray(self.scale, np.float32)
        if scale.ndim != 1 or not scale.size:
            raise ValueError(f"scale must have shape (c_out,), got {scale.shape}")
        put(self, "scale", vector("scale", scale, scale.size, above=0))
        packed = np.array(self.packed, order="C")
        rows, wanted = self.shape_in[0] * self.kernel[0] * self.kernel[1], row_bytes(self.c_out, self.bits)
        if packed.dtype != np.uint8 or packed.shape != (rows, wanted):
            raise ValueError(f"packed must be uint8 of shape ({rows}, {wanted}) for {self.c_out} channels of {self.bits} bits, "
                             f"got {packed.dtype} of shape {packed.shape}")
        packed.setflags(write=False)
        put(self, "packed", packed)
        if not np.array_equal(pack_filters(self.codes(), self.bits), packed):
            raise ValueError(f"packed holds codes that {self.bits} bits do not have, or bits behind the last channel")
        plain = self.of_codes()
        for name in ("tau_ms", "threshold", "bias", "shape_in", "stride", "padding"):
            put(self, name, getattr(plain, name))

    def codes(self) -> np.ndarray:
        """(c_out, c_in, kh, kw) int8: the whole numbers that the weights are multiples of."""
        rows = unpack(self.packed, self.c_out, self.bits)
        return np.ascontiguousarray(rows.T).reshape(self.c_out, self.shape_in[0], *self.kernel)

    def of_codes(self) -> ConvLIFSpec:
        """The layer whose weights are the codes, without the scale: its shapes and all that is no weight."""
        return ConvLIFSpec(self.codes(), self.tau_ms, self.threshold, self.shape_in, self.stride, self.padding,
                           tick_us=self.tick_us, reset=self.reset, bias=self.bias)

    @property
    def c_out(self) -> int:
        return int(self.scale.shape[0])

    @property
    def shape_out(self) -> tuple[int, int, int]:
        """(c_out, height, width) of the neurons."""
        sides = zip(self.shape_in[1:], self.kernel, self.stride, self.padding, strict=True)
        height, width = ((n + 2 * padding - kernel) // stride + 1 for n, kernel, stride, padding in sides)
        return self.c_out, height, width

    @property
    def n_in(self) -> int:
        return int(np.prod(self.shape_in))

    @property
    def n_out(self) -> int:
        return int(np.prod(self.shape_out))

    def decay(self) -> np.ndarray:
        """(c_out,) float32: what v keeps over one tick."""
        return self.of_codes().decay()

    def may_fire_in_silence(self) -> np.ndarray:
        """(c_out,) bool: where the bias alone drives v to the threshold, b / (1 - d) >= threshold."""
        return self.of_codes().may_fire_in_silence()


def pack_filters(codes: np.ndarray, bits: int) -> np.ndarray:
    """codes (c_out, c_in, kh, kw) as bytes (c_in kh kw, row_bytes)."""
    return pack(codes.reshape(codes.shape[0], -1).T, bits)
