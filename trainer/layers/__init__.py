"""Torch modules built from layer specs and returning them: spikes in, spikes (readout: scores) out, tick by tick.

Tensors are time-major: x[t, b, i] is what unit i of sample b does in tick t. The physics is that of pipeline.layer_spec;
an evaluated module does what the runtime's operator of the same spec does, spike for spike. One file a kind of layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.layer_spec import (
    AdaptiveLIFSpec,
    ConvLIFSpec,
    CubaLIFSpec,
    DelayMotionSpec,
    DelaySpec,
    EILIFSpec,
    LayerSpec,
    LIFSpec,
    LinearAttentionSpec,
    MPSLIFSpec,
    PoolSpec,
    QuantisedConvLIFSpec,
    QuantisedLIFSpec,
    RandomLIFSpec,
    ReadoutSpec,
    RecurrentLIFSpec,
    ResonateSpec,
    ShortcutSpec,
    SRMSpec,
    SynapticDelaySpec,
    TimeBinsSpec,
    TwoCompartmentSpec,
)
from trainer.layers.adaptive_lif import AdaptiveLIF
from trainer.layers.conv import ConvLIF
from trainer.layers.cuba_lif import CubaLIF
from trainer.layers.delay import Delay, shift
from trainer.layers.delay_motion import DelayMotion
from trainer.layers.ei_lif import EILIF
from trainer.layers.lif import LIF
from trainer.layers.linear_attention import LinearAttention
from trainer.layers.mps_lif import MPSLIF
from trainer.layers.parts import Positive, Spiking, array, tensor
from trainer.layers.pool import Pool
from trainer.layers.quantised_conv import QuantisedConvLIF
from trainer.layers.quantised_lif import QuantisedLIF
from trainer.layers.random_lif import RandomLIF
from trainer.layers.readout import Readout
from trainer.layers.recurrent import RecurrentLIF
from trainer.layers.resonate import Resonate
from trainer.layers.shortcut import Shortcut
from trainer.layers.srm import SRM
from trainer.layers.surrogates import SURROGATES, Surrogate, atan, fast_sigmoid
from trainer.layers.synaptic_delay import SynapticDelay
from trainer.layers.time_bins import TimeBins
from trainer.layers.two_compartment import TwoCompartment

__all__ = [
    "EILIF",
    "LIF",
    "MPSLIF",
    "SRM",
    "SURROGATES",
    "AdaptiveLIF",
    "ConvLIF",
    "CubaLIF",
    "Delay",
    "DelayMotion",
    "Layer",
    "LinearAttention",
    "Pool",
    "Positive",
    "QuantisedConvLIF",
    "QuantisedLIF",
    "RandomLIF",
    "Readout",
    "RecurrentLIF",
    "Resonate",
    "Shortcut",
    "Spiking",
    "Surrogate",
    "SynapticDelay",
    "TimeBins",
    "TwoCompartment",
    "array",
    "atan",
    "build",
    "fast_sigmoid",
    "shift",
    "tensor",
]

Layer = (
    AdaptiveLIF
    | ConvLIF
    | CubaLIF
    | Delay
    | LinearAttention
    | DelayMotion
    | EILIF
    | TwoCompartment
    | LIF
    | MPSLIF
    | RandomLIF
    | Pool
    | QuantisedConvLIF
    | QuantisedLIF
    | Readout
    | RecurrentLIF
    | Resonate
    | Shortcut
    | SRM
    | SynapticDelay
    | TimeBins
)
MODULES: dict[type, Callable[..., Layer]] = {  # of each kind of spec: its module, from the spec and options
    ConvLIFSpec: ConvLIF,
    AdaptiveLIFSpec: AdaptiveLIF,
    CubaLIFSpec: CubaLIF,
    DelaySpec: Delay,
    LinearAttentionSpec: LinearAttention,
    DelayMotionSpec: DelayMotion,
    EILIFSpec: EILIF,
    TwoCompartmentSpec: TwoCompartment,
    LIFSpec: LIF,
    MPSLIFSpec: MPSLIF,
    RandomLIFSpec: RandomLIF,
    PoolSpec: Pool,
    QuantisedConvLIFSpec: QuantisedConvLIF,
    QuantisedLIFSpec: QuantisedLIF,
    ReadoutSpec: Readout,
    RecurrentLIFSpec: RecurrentLIF,
    ResonateSpec: Resonate,
    ShortcutSpec: Shortcut,
    SRMSpec: SRM,
    SynapticDelaySpec: SynapticDelay,
    TimeBinsSpec: TimeBins,
}


def build(spec: LayerSpec, tick_us: int, **options: Any) -> Layer:
    """The module of a spec. A layer on another tick than `tick_us` is an error."""
    own = getattr(spec, "tick_us", None)
    if own not in (None, tick_us):
        raise ValueError(f"the layers of one network share a tick: want {tick_us} us, got {own} us")
    return MODULES[type(spec)](spec, *([tick_us] if isinstance(spec, DelaySpec | TimeBinsSpec) else []), **options)
