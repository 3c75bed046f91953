"""Bins of time told apart: a unit's spikes of each bin are a unit of their own to the layer behind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TimeBinsSpec:
    """A spike of unit i at t becomes one of unit bin * n_in + i, t staying as it is:

        bin = min(floor((t - begin) / bin_us), bins - 1)       begin: when the episode begins; the last bin never ends

    A spike_count readout behind it weighs the spikes of every bin anew: its features are counts bin by bin.
    n_in, bins, bin_us >= 1; ValueError otherwise.

    >>> TimeBinsSpec(2000, 5, 5000).shape_out
    (5, 2000)
    """

    n_in: int
    bins: int
    bin_us: int

    def __post_init__(self) -> None:
        if min(self.n_in, self.bins, self.bin_us) < 1:
            raise ValueError(f"units, bins and the length of a bin (us) must be at least 1, got {self.n_in}, {self.bins} and "
                             f"{self.bin_us}")
        if self.n_out >= 2**32:
            raise ValueError(f"{self.bins} bins of {self.n_in} units are more units than can be addressed (2^32 - 1)")

    @property
    def n_out(self) -> int:
        return self.bins * self.n_in

    @property
    def shape_out(self) -> tuple[int, int]:
        return self.bins, self.n_in
