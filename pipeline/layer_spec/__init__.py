"""What a trained layer IS: its physics, with shapes and units checked at construction; one file a kind of layer.

Trainer and runtime both build from these specs. Arrays are float32 (delays int64), C-contiguous and read-only; times are held
as physics (tau in ms, delays in us), never as coefficients: a coefficient is computed in one place, `decay`.
"""

from __future__ import annotations

from typing import TypeAlias

from pipeline.layer_spec.checks import decay
from pipeline.layer_spec.delay import DelaySpec
from pipeline.layer_spec.lif import LIFSpec, Reset
from pipeline.layer_spec.readout import ReadoutSpec, Score

__all__ = [
    "SPECS",
    "DelaySpec",
    "LIFSpec",
    "LayerSpec",
    "ReadoutSpec",
    "Reset",
    "Score",
    "decay",
    "spec_type",
]

LayerSpec: TypeAlias = (
    DelaySpec
    | LIFSpec
    | ReadoutSpec
)
SPECS: dict[str, type] = {
    "delay": DelaySpec,
    "lif": LIFSpec,
    "readout": ReadoutSpec,
}


def spec_type(spec: LayerSpec) -> str:
    """The name of a spec's kind in a model card."""
    return next(name for name, cls in SPECS.items() if isinstance(spec, cls))
