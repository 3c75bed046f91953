"""What a trained layer IS: its physics, with shapes and units checked at construction; one file a kind of layer.

Trainer and runtime both build from these specs. Arrays are float32 (delays int64), C-contiguous and read-only; times are held
as physics (tau in ms, delays in us), never as coefficients: a coefficient is computed in one place, `decay`.
"""

from __future__ import annotations

from typing import TypeAlias

from pipeline.layer_spec.adaptive_lif import AdaptiveLIFSpec
from pipeline.layer_spec.checks import decay
from pipeline.layer_spec.conv import ConvLIFSpec
from pipeline.layer_spec.cuba_lif import CubaLIFSpec
from pipeline.layer_spec.delay import DelaySpec
from pipeline.layer_spec.delay_motion import DelayMotionSpec
from pipeline.layer_spec.ei_lif import EILIFSpec
from pipeline.layer_spec.lif import LIFSpec, Reset
from pipeline.layer_spec.linear_attention import LinearAttentionSpec
from pipeline.layer_spec.mps_lif import MPSLIFSpec
from pipeline.layer_spec.pool import PoolSpec
from pipeline.layer_spec.quantised_conv import QuantisedConvLIFSpec
from pipeline.layer_spec.quantised_lif import QuantisedLIFSpec
from pipeline.layer_spec.random_lif import RandomLIFSpec
from pipeline.layer_spec.readout import ReadoutSpec, Score
from pipeline.layer_spec.recurrent import RecurrentLIFSpec
from pipeline.layer_spec.resonate import ResonateSpec
from pipeline.layer_spec.shortcut import ShortcutSpec
from pipeline.layer_spec.srm import SRMSpec
from pipeline.layer_spec.synaptic_delay import SynapticDelaySpec
from pipeline.layer_spec.time_bins import TimeBinsSpec
from pipeline.layer_spec.two_compartment import TwoCompartmentSpec

__all__ = [
    "SPECS",
    "AdaptiveLIFSpec",
    "ConvLIFSpec",
    "CubaLIFSpec",
    "DelayMotionSpec",
    "DelaySpec",
    "EILIFSpec",
    "LIFSpec",
    "LayerSpec",
    "LinearAttentionSpec",
    "MPSLIFSpec",
    "PoolSpec",
    "QuantisedConvLIFSpec",
    "QuantisedLIFSpec",
    "RandomLIFSpec",
    "ReadoutSpec",
    "RecurrentLIFSpec",
    "Reset",
    "ResonateSpec",
    "SRMSpec",
    "Score",
    "ShortcutSpec",
    "SynapticDelaySpec",
    "TimeBinsSpec",
    "TwoCompartmentSpec",
    "decay",
    "spec_type",
]

LayerSpec: TypeAlias = (
    AdaptiveLIFSpec
    | ConvLIFSpec
    | CubaLIFSpec
    | DelayMotionSpec
    | DelaySpec
    | EILIFSpec
    | LIFSpec
    | LinearAttentionSpec
    | MPSLIFSpec
    | RandomLIFSpec
    | PoolSpec
    | QuantisedConvLIFSpec
    | QuantisedLIFSpec
    | ReadoutSpec
    | ResonateSpec
    | ShortcutSpec
    | SRMSpec
    | RecurrentLIFSpec
    | SynapticDelaySpec
    | TimeBinsSpec
    | TwoCompartmentSpec
)
SPECS: dict[str, type] = {
    "conv_lif": ConvLIFSpec,
    "adaptive_lif": AdaptiveLIFSpec,
    "cuba_lif": CubaLIFSpec,
    "delay": DelaySpec,
    "delay_motion": DelayMotionSpec,
    "ei_lif": EILIFSpec,
    "lif": LIFSpec,
    "linear_attention": LinearAttentionSpec,
    "mps_lif": MPSLIFSpec,
    "random_lif": RandomLIFSpec,
    "pool": PoolSpec,
    "quantised_conv_lif": QuantisedConvLIFSpec,
    "quantised_lif": QuantisedLIFSpec,
    "readout": ReadoutSpec,
    "resonate": ResonateSpec,
    "shortcut": ShortcutSpec,
    "srm": SRMSpec,
    "recurrent_lif": RecurrentLIFSpec,
    "synaptic_delay": SynapticDelaySpec,
    "time_bins": TimeBinsSpec,
    "two_compartment": TwoCompartmentSpec,
}


def spec_type(spec: LayerSpec) -> str:
    """The name of a spec's kind in a model card."""
    return next(name for name, cls in SPECS.items() if isinstance(spec, cls))
