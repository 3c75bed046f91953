"""The torch modules of two-compartment and balanced layers: their specs, parity with the runtime, what they learn."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.layer_spec import EILIFSpec, LIFSpec, ReadoutSpec, TwoCompartmentSpec  # noqa: E402
from pipeline.model_file import Model, load_model, save_model  # noqa: E402
from pipeline.packet import Format  # noqa: E402
from tests.packets import recording  # noqa: E402
from tests.test_trainer_delays import TICK_US, step_lowers_the_loss  # noqa: E402
from tests.test_trainer_layers import arrays_of  # noqa: E402
from trainer.layers import EILIF, build  # noqa: E402
from trainer.layers.ei_lif import ei_start  # noqa: E402
from trainer.parity import check  # noqa: E402


def two_compartment(rng, n=6, n_out=5):
    return TwoCompartmentSpec(rng.normal(0.6, 1.5, (n, n_out)), rng.uniform(3, 9, n_out), rng.uniform(1, 3, n_out), 1.0, TICK_US,
                              gain_slow=rng.uniform(0.3, 1, n_out), gain_fast=-rng.uniform(-1, 0.1, n_out))


def balanced(rng, n=6, n_out=5):
    return EILIFSpec(rng.exponential(0.5, (n, n_out)), rng.exponential(0.5, (n, 2)), np.full((2, n_out), 0.5), 1.0,
                     rng.uniform(0.2, 0.8, 2), 10.0, rng.uniform(0.5, 1.5, n_out), TICK_US, bias=rng.uniform(-0.05, 0.05, n_out))


@pytest.mark.parametrize("make", [two_compartment, balanced])
def test_a_module_returns_the_spec_it_was_built_from(make):
    spec = make(np.random.default_rng(1))
    back = build(spec, TICK_US).spec()
    assert {k: v.tobytes() for k, v in arrays_of(back).items()} == {k: v.tobytes() for k, v in arrays_of(spec).items()}


@pytest.mark.parametrize("make", [two_compartment, balanced])
@pytest.mark.parametrize("seed", range(4))
def test_a_saved_network_agrees_with_the_runtime_spike_for_spike(make, seed, tmp_path):
    rng = np.random.default_rng(seed)
    second = LIFSpec(rng.normal(0.6, 0.6, (5, 4)), 20.0, 1.0, TICK_US)
    layers = {"first": make(rng), "second": second, "out": ReadoutSpec("spike_count", ("a", "b"), rng.normal(size=(4, 2)))}
    save_model(tmp_path / "m.safetensors", Model(Format("spikes", (6,)), layers))
    model = load_model(tmp_path / "m.safetensors")
    report = check(model, [recording(model.input, seed + k, n=150, begin_us=3_700 * k, length_us=51_300) for k in range(2)])
    assert report.equal, str(report)
    assert report.spikes["second"] > 5
    assert not report.decided_otherwise


@pytest.mark.parametrize("make", [two_compartment, balanced])
def test_gradient_steps_lower_the_loss(make):
    layer = build(make(np.random.default_rng(3)), TICK_US).train()
    before, after = step_lowers_the_loss(layer, [p for p in layer.parameters() if p.requires_grad])
    assert after < 0.7 * before


def test_all_of_a_two_compartment_neuron_but_its_resets_is_learnt():
    layer = build(two_compartment(np.random.default_rng(3)), TICK_US)
    layer(torch.poisson(torch.full((30, 4, 6), 0.3))).pow(2).sum().backward()
    moved = {name for name, vector in layer.vectors.items() if vector.grad is not None and (vector.grad != 0).any()}
    assert moved == {"input_slow", "input_fast", "to_slow", "to_fast", "gain_slow", "gain_fast"}


def test_a_balanced_layer_starts_with_input_of_zero_mean_whatever_the_rate():
    for rate in (0.05, 0.5):
        layer = EILIF(ei_start(400, 100, TICK_US, 10.0, rate, rate, seed=1))
        current = layer.current(torch.poisson(torch.full((200, 1, 400), rate)))
        assert abs(float(current.mean().detach())) < 0.2
        assert 0.3 < float(current.std().detach()) < 3


def test_no_weight_of_a_balanced_layer_falls_below_zero():
    layer = build(balanced(np.random.default_rng(3)), TICK_US)
    with torch.no_grad():
        layer.signed["weight_e"].sub_(0.4)
    assert (layer.spec().weight_e >= 0).all()
