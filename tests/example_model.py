"""A model whose layers are small random ones of every kind: what the contract's examples run."""

from __future__ import annotations

from functools import cache

import numpy as np

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
    Reset,
    ResonateSpec,
    SRMSpec,
    SynapticDelaySpec,
    TimeBinsSpec,
    TwoCompartmentSpec,
)
from pipeline.layer_spec.quantised_conv import pack_filters
from pipeline.layer_spec.quantised_lif import pack, quantise
from pipeline.model_file import Model
from pipeline.packet import Format

DVS = Format("spikes", (2, 8, 8))
NAMES = ("left", "right", "none")


def quantised(weight: np.ndarray, bits: int, tau_ms: np.ndarray, tick_us: int | None = 1000, reset: Reset = "subtract",
              bias: np.ndarray | None = None) -> QuantisedLIFSpec:  # fmt: skip
    codes, scale = quantise(weight, bits)
    return QuantisedLIFSpec(pack(codes, bits), scale, tau_ms, np.array(1.0), bits, tick_us, reset, bias)


def one_bit_convolution(rng: np.random.Generator) -> QuantisedConvLIFSpec:
    codes = np.where(rng.random((3, 2, 3, 3)) < 0.4, -1, 1)
    return QuantisedConvLIFSpec(pack_filters(codes, 1), rng.uniform(0.1, 0.4, 3), rng.uniform(2, 20, 3), np.array(1.0), 1,
                                DVS.shape, (3, 3), 1000, (2, 2), (1, 1), bias=rng.uniform(-0.1, 0.05, 3))


@cache
def model() -> Model:
    """Small random layers of every kind; each fires on the recordings."""
    rng = np.random.default_rng(7)
    wide, narrow = rng.normal(0.1, 0.5, (DVS.size, 12)), rng.normal(0.1, 0.5, (12, 12))
    tau_ms = rng.uniform(1, 20, 12)
    score = rng.normal(0, 1, (12, 3))
    draw = np.random.default_rng(8)
    one, short_ms, long_ms = np.array(1.0), np.array(5.0), np.array(20.0)
    return Model(DVS, {
        "hidden": LIFSpec(wide, short_ms, one, tick_us=1000),
        "hidden_to_zero": LIFSpec(wide, tau_ms, rng.uniform(0.5, 1.5, 12), tick_us=1700, reset="to_zero"),
        "event_mode": LIFSpec(wide, tau_ms, one),
        "driven": LIFSpec(narrow, tau_ms, one, tick_us=1000, bias=rng.uniform(-0.1, 0.4, 12)),
        "from_sound": LIFSpec(narrow, tau_ms, one, tick_us=1000),
        "conv": ConvLIFSpec(draw.normal(0.1, 0.5, (3, 2, 3, 3)), draw.uniform(2, 20, 3), one, DVS.shape, stride=2, padding=1,
                            tick_us=1000),
        "conv_max": ConvLIFSpec(draw.normal(0.1, 0.5, (4, 2, 3, 2)), short_ms, one, DVS.shape, dilation=(1, 2), pool_size=2,
                                tick_us=1700, reset="to_zero", bias=draw.uniform(-0.1, 0.4, 4)),
        "conv_event_mode": ConvLIFSpec(draw.normal(0.2, 0.4, (3, 2, 3, 3)), draw.uniform(2, 20, 3), one, DVS.shape, padding=1),
        "conv_depthwise": ConvLIFSpec(draw.normal(0.1, 0.7, (4, 1, 3, 3)), short_ms, one, DVS.shape, groups=2, tick_us=1000),
        "random": RandomLIFSpec((2, 8, 8), 12, 3, "sign", 0.5, density=0.5, fields=(3, 5), tick_us=1000),
        "random_driven": RandomLIFSpec((12,), 12, 4, "normal", 0.6, bias=0.4, tau_ms=5.0, tick_us=1000),
        "pool": PoolSpec("sum", DVS.shape, 3, 2),
        "bins": TimeBinsSpec(12, 3, 5000),
        "delay": DelaySpec(rng.integers(0, 9, 12) * 1000),
        "any_delay": DelaySpec(rng.integers(0, 9_000, 12)),
        "long_delay": DelaySpec(rng.integers(50, 90, 12) * 1000),
        "count": ReadoutSpec("spike_count", NAMES, score, rng.normal(0, 0.1, 3)),
        "identity": ReadoutSpec("spike_count", tuple(f"unit {number}" for number in range(12))),
        "membrane": ReadoutSpec("membrane", NAMES, score, tau_ms=long_ms, tick_us=1000, temperature=0.5),
        "softmax_sum": ReadoutSpec("softmax_sum", NAMES, score, rng.normal(0, 0.1, 3), tau_ms=tau_ms[:3], tick_us=2000),
        "conv_one_bit": one_bit_convolution(np.random.default_rng(9)),
        "one_bit": quantised(wide, 1, long_ms),
        "four_bits": quantised(narrow, 4, tau_ms, reset="to_zero", bias=np.linspace(-0.1, 0.1, 12)),
        "one_bit_events": quantised(narrow, 1, tau_ms, None),
        "smoothed": MPSLIFSpec(wide, tau_ms, one, 0.4, 1700),
        "smoothed_sound": MPSLIFSpec(2 * narrow, short_ms, one, 0.2, 1000),
        "recurrent": RecurrentLIFSpec(wide, narrow, rng.integers(0, 20, 12) * 1700, tau_ms, one, 1700, "to_zero"),
        "recurrent_driven": RecurrentLIFSpec(narrow, narrow, rng.integers(0, 9, 12) * 1000, short_ms, one, 1000,
                                             bias=rng.uniform(-0.1, 0.4, 12)),
        "synaptic": SynapticDelaySpec(wide, rng.integers(2, 20, (DVS.size, 12)) * 1700, tau_ms, one, 1700, "to_zero"),
        "dendritic": SynapticDelaySpec(narrow, rng.integers(0, 9, (1, 12)) * 1000, tau_ms, one, 1000,
                                       bias=rng.uniform(-0.1, 0.4, 12)),
        "max_membrane": ReadoutSpec("max_membrane", NAMES, score, tau_ms=long_ms, tick_us=1000),
    } | neurons(wide, narrow) | compartments(wide, narrow))


def neurons(wide: np.ndarray, narrow: np.ndarray) -> dict[str, LayerSpec]:
    """Of every kind of neuron, layers behind `wide` (from DVS) and `narrow` (12 to 12)."""
    rng = np.random.default_rng(8)
    short_ms, long_ms = rng.uniform(1, 10, 12), rng.uniform(10, 30, 12)
    bias = rng.uniform(-0.1, 0.2, 12)
    return {
        "cuba": CubaLIFSpec(wide, long_ms, short_ms, 1.0, tick_us=1000),
        "cuba_driven": CubaLIFSpec(narrow, long_ms, short_ms, 1.0, 1000, "to_zero", bias),
        "cuba_event_mode": CubaLIFSpec(0.3 * wide, long_ms, short_ms, 1.0),
        "cuba_from_sound": CubaLIFSpec(narrow, short_ms, long_ms, 1.0, tick_us=1700),
        "adaptive": AdaptiveLIFSpec(8 * wide, short_ms, long_ms, 0.3, 0.4, 1.0, 1000),
        "symplectic": AdaptiveLIFSpec(8 * narrow, short_ms, long_ms, 0.5, 0.4, 0.3, 1700, "se_adlif", 20.0, bias),
        "resonating": ResonateSpec(wide, long_ms, 1000 / short_ms, 1.0, 1700),
        "resonating_driven": ResonateSpec(2 * narrow, long_ms, 1000 / short_ms, 1.0, 1000, "to_zero", bias),
        "srm": SRMSpec(wide, short_ms, long_ms, 1.0, 1700),
        "srm_driven": SRMSpec(narrow, short_ms, long_ms, 1.0, 1000, 0.5, bias),
    }


def compartments(wide: np.ndarray, narrow: np.ndarray) -> dict[str, LayerSpec]:
    """Layers of compartments, of balanced neurons, of attention and motion, behind `wide` (from DVS) and `narrow` (12 to 12)."""
    rng = np.random.default_rng(9)
    tau_ms, threshold = rng.uniform(1, 20, 12), rng.uniform(0.5, 2, 12)
    return {
        "balanced": EILIFSpec(abs(wide), abs(wide[:, :3]), abs(narrow[:3]), 1.0, 0.4, tau_ms, 0.5, 1700, "to_zero"),
        "balanced_driven": EILIFSpec(abs(narrow), abs(narrow[:, :3]), abs(narrow[:3]), 1.0, 0.4, tau_ms, 1.0, 1000,
                                     bias=rng.uniform(-0.1, 0.4, 12)),
        "compartments": TwoCompartmentSpec(3 * wide, 5.0, threshold, 1.0, 1700, gain_slow=0.3),
        "compartments_sound": TwoCompartmentSpec(3 * narrow, 4.5, 0.8, 1.0, 1000),
        "moving": DelayMotionSpec(rng.normal(0, 1, (3, 2, 4, 3, 3)), -np.ones(3), 0.6, (8, 8), 1700),
        "moving_sound": DelayMotionSpec(rng.normal(0, 1, (2, 1, 9, 1, 4)), -np.ones(2), 0.5, (1, 12), 1000),
        "attention": LinearAttentionSpec(wide, 4, np.array([20.0, np.inf]), tau_ms, 1.0, 15.0, 1.0, 1700, 0.3),
        "attention_sound": LinearAttentionSpec(narrow, 3, np.array([50.0]), tau_ms, 0.5, 15.0, 0.5, 1000),
    }
