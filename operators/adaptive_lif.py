"""adaptive_lif: spikes or graded events go in; the spikes of a dense layer of adaptive LIF neurons come out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from operators.model_layer import check_input, load_layer, read_layer
from operators.neurons import PairLaw, out_format
from operators.silence import make_silence
from operators.tick_layer import TickLayer, operators_of
from pipeline.contract import FilePath, OperatorConfig, State
from pipeline.layer_spec import AdaptiveLIFSpec
from pipeline.packet import Format


class AdaptiveLIFConfig(OperatorConfig):
    """A dense layer of leaky integrate-and-fire neurons with an adaptation w: adLIF (SpArch, SiLIF) and SE-adLIF.

    With I = bias + sum of weight[k] over the tick's spikes k (graded events: weight[k] * value), at every tick, in this order,
    ticks being those of lif:

        u <- al u + (1 - al) (I - w)                          al = exp(-tick / tau), be = exp(-tick / tau_w)
        s = 1 and a spike at k tick where u >= threshold, else 0
        form adlif:     w <- be w + a u + b s; then u <- u - threshold s
        form se_adlif:  u <- u (1 - s); then w <- be w + (1 - be) q (a u + b s)

    A neuron may fire in silence: its adaptation may have been negative, or swing. Silence is passed in one step once a bound
    proves that no neuron of the layer can fire in it; until then the ticks are run (operators/silence.py has the proof).

    In: spikes or graded, n_in units of any shape, times in us, on no tick or on one that divides the layer's.
    Out: spikes of shape (n_out,), stamped with the begin of their tick and given out in the packet that closes it.
    State: u, w, the open tick's input, (n_out,) float32 each. Cost: n_out additions an event, 20 n_out operations a tick run.
    Errors: ValueError if the file is no model, the layer is not in it, or its size or tick does not fit the stream.

    Example: {type: adaptive_lif, model: models/shd.safetensors, layer: hidden}

    Source: A. Bittar and P. Garner, "A surrogate gradient spiking baseline for speech command recognition", Frontiers in
    Neuroscience 16 (2022), eq. 5-7; M. Baronig et al., "Advancing spatio-temporal processing through adaptation in spiking
    neural networks", Nature Communications 16 (2025).
    """

    type: Literal["adaptive_lif"] = "adaptive_lif"
    model: FilePath = Field(description="model file (.safetensors) that holds the layer")
    layer: str = Field(description="name of the adaptive_lif layer in the model")

    def check(self, upstream: Format) -> Format:
        card = read_layer(self.model, self.layer, "adaptive_lif")
        check_input(f"adaptive_lif layer {self.layer!r} of {self.model}", card.n_in, card.tick_us, upstream)
        return out_format(card.n_out, card.tick_us, upstream)

    def prepare(self, upstream: Format) -> Callable[[State | None], TickLayer]:
        self.check(upstream)
        return make(load_layer(self.model, self.layer, "adaptive_lif"), upstream)


def make(spec: AdaptiveLIFSpec, upstream: Format) -> Callable[[State | None], TickLayer]:
    """What `prepare` returns, for a spec at hand instead of a model file."""
    check_input("the adaptive_lif layer", spec.n_in, spec.tick_us, upstream)
    return operators_of(tick_law(spec))


def tick_law(spec: AdaptiveLIFSpec) -> PairLaw:
    from operators.kernels.adaptive_lif import run_ticks

    share = np.float32(1) - spec.decay()
    rows = (spec.decay(), share, spec.adaptation_decay(), *spec.couplings(), spec.threshold)
    al, g, be, a, _, _ = (row.astype(np.float64) for row in rows)
    drive = np.zeros(spec.n_out) if spec.bias is None else g * spec.bias.astype(np.float64)
    matrix = np.stack([np.stack([al, -g]), np.stack([a * al, be - a * g])])  # u' = al u + g (bias - w); w' = be w + a u'
    read = np.stack([np.ones(spec.n_out), np.zeros(spec.n_out)])
    silence = make_silence(matrix, np.stack([drive, a * drive]), read, spec.threshold)
    return PairLaw(spec, run_ticks, ("u", "w"), np.stack(rows), silence, int(spec.form == "se_adlif"))
