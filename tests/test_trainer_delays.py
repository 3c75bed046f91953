"""The torch modules of layers with delays, recurrence and smoothing: their specs, parity with the runtime, what they learn."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from pipeline.layer_spec import DelaySpec, LIFSpec, MPSLIFSpec, ReadoutSpec, RecurrentLIFSpec, SynapticDelaySpec  # noqa: E402
from pipeline.model_file import Model, load_model, save_model  # noqa: E402
from pipeline.packet import Format  # noqa: E402
from tests.packets import recording  # noqa: E402
from tests.test_trainer_layers import arrays_of  # noqa: E402
from trainer.layers import LIF, MPSLIF, Delay, RecurrentLIF, SynapticDelay, build, shift  # noqa: E402
from trainer.layers.synaptic_delay import Spread  # noqa: E402
from trainer.parity import check  # noqa: E402

TICK_US = 2000


def synaptic(rng, n=6, n_out=5, most=9, rows=None, **other):
    delay_us = rng.integers(0, most, (n if rows is None else rows, n_out)) * TICK_US
    options = {"tau_ms": rng.uniform(1, 30, n_out), "threshold": rng.uniform(0.5, 1.5, n_out), "tick_us": TICK_US} | other
    return SynapticDelaySpec(rng.normal(0.2, 0.6, (n, n_out)), delay_us, **options)


def recurrent(rng, n=6, n_out=5, most=9, **other):
    options = {"tau_ms": rng.uniform(1, 30, n_out), "threshold": rng.uniform(0.5, 1.5, n_out), "tick_us": TICK_US} | other
    return RecurrentLIFSpec(rng.normal(0.2, 0.6, (n, n_out)), rng.normal(0, 0.5, (n_out, n_out)),
                            rng.integers(0, most, n_out) * TICK_US, **options)


def smoothed(rng, n=6, n_out=5, alpha=0.4):
    return MPSLIFSpec(rng.normal(0.2, 0.6, (n, n_out)), rng.uniform(1, 30, n_out), rng.uniform(0.5, 1.5, n_out), alpha, TICK_US)


def dendritic(rng):
    return synaptic(rng, rows=1, bias=np.full(5, 0.02))


@pytest.mark.parametrize("make", [synaptic, dendritic, recurrent, smoothed])
def test_a_module_returns_the_spec_it_was_built_from(make):
    spec = make(np.random.default_rng(1))
    back = build(spec, TICK_US).spec()
    assert {k: v.tobytes() for k, v in arrays_of(back).items()} == {k: v.tobytes() for k, v in arrays_of(spec).items()}
    others = {k: v for k, v in vars(spec).items() if not isinstance(v, np.ndarray)}
    assert {k: v for k, v in vars(back).items() if not isinstance(v, np.ndarray)} == others


@pytest.mark.parametrize("make", [synaptic, dendritic, recurrent, smoothed])
@pytest.mark.parametrize("seed", range(4))
def test_a_saved_network_agrees_with_the_runtime_spike_for_spike(make, seed, tmp_path):
    rng = np.random.default_rng(seed)
    layers = {"first": make(rng), "late": DelaySpec(rng.integers(0, 5, 5) * TICK_US), "second": LIFSpec(
        rng.normal(0.3, 0.6, (5, 4)), 20.0, 1.0, TICK_US), "out": ReadoutSpec("spike_count", ("a", "b"), rng.normal(size=(4, 2)))}
    save_model(tmp_path / "m.safetensors", Model(Format("spikes", (6,)), layers))
    model = load_model(tmp_path / "m.safetensors")
    report = check(model, [recording(model.input, seed + k, n=150, begin_us=3_700 * k, length_us=51_300) for k in range(2)])
    assert report.equal, str(report)
    assert report.spikes["first"] > 10
    assert not report.decided_otherwise


def step_lowers_the_loss(layer, parameters, steps=25, learning_rate=0.02):
    """Gradient steps towards a rate of a tenth of a spike a tick: the first loss and the last."""
    torch.manual_seed(0)
    x = torch.poisson(torch.full((30, 4, 6), 0.3))
    step = torch.optim.SGD(parameters, learning_rate)
    losses = []
    for _ in range(steps):
        step.zero_grad()
        loss = (layer(x).mean(0) - 0.1).pow(2).sum()
        loss.backward()
        losses.append(float(loss.detach()))
        step.step()
    return losses[0], losses[-1]


@pytest.mark.parametrize("make", [synaptic, dendritic, recurrent, smoothed])
def test_gradient_steps_lower_the_loss(make):
    layer = build(make(np.random.default_rng(3)), TICK_US).train()
    before, after = step_lowers_the_loss(layer, [p for p in layer.parameters() if p.requires_grad])
    assert after < 0.7 * before


@pytest.mark.parametrize(("kind", "make"), [(SynapticDelay, synaptic), (RecurrentLIF, recurrent)])
def test_smeared_delays_get_gradients_and_stay_within_their_limits(kind, make):
    layer = kind(make(np.random.default_rng(3)), max_ticks=10).train()
    layer.sigma.fill_(2.0)
    layer(torch.poisson(torch.full((30, 4, 6), 0.3))).pow(2).sum().backward()
    assert (layer.delay_ticks.grad != 0).any()
    with torch.no_grad():
        layer.delay_ticks.add_(100)
    layer.clamp()
    assert (layer.spec().delay_us == 10 * TICK_US).all()


def test_a_synaptic_delay_is_drawn_to_where_its_spike_is_wanted():
    spec = SynapticDelaySpec(np.ones((1, 1)), np.array([[2]]) * TICK_US, 0.0, 1e9, TICK_US)
    layer = SynapticDelay(spec, max_ticks=10).train()
    step = torch.optim.Adam([layer.delay_ticks], 0.2)
    x = torch.zeros(14, 1, 1)
    x[1] = 1
    for sigma in np.linspace(3, 0.5, 100):
        layer.sigma.fill_(float(sigma))
        step.zero_grad()
        current = layer.current(x)
        target = torch.zeros_like(current)
        target[8:9] = 1
        ((current - target) ** 2).sum().backward()
        step.step()
        layer.clamp()
    assert layer.spec().delay_us.tolist() == [[7 * TICK_US]]


def test_spreading_over_lags_is_a_convolution_there_and_back():
    torch.manual_seed(2)
    for length in (12, 15, 17):
        x = torch.poisson(torch.full((12, 3, 5), 0.3)).requires_grad_()
        kernel = torch.randn(5, 6, 4, requires_grad=True)
        padded = F.pad(x.permute(1, 2, 0), (5, 5))
        whole = F.conv1d(padded, kernel.permute(2, 0, 1).flip(2)).permute(2, 0, 1)[:length]
        found = Spread.apply(x, kernel, length)
        torch.testing.assert_close(found, whole)
        weights = torch.randn_like(whole)
        for own, other in zip(torch.autograd.grad((found * weights).sum(), (x, kernel)),
                              torch.autograd.grad((whole * weights).sum(), (x, kernel)), strict=True):
            torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-5)


def test_a_smeared_synapse_delivers_its_whole_weight():
    layer = SynapticDelay(synaptic(np.random.default_rng(0), most=5), max_ticks=9).train()
    layer.sigma.fill_(1.5)
    x = torch.zeros(20, 1, 6)
    x[0, 0, 2] = 1
    assert torch.allclose(layer.current(x)[:10].sum(0)[0], layer.weight[2], atol=1e-5)


def test_whole_delays_move_spikes_as_at_run_time_and_learn_from_the_smear():
    rng = np.random.default_rng(5)
    x = torch.poisson(torch.full((20, 3, 6), 0.4))
    for layer, out in ((SynapticDelay(synaptic(rng), max_ticks=9), SynapticDelay.current),
                       (Delay(DelaySpec(rng.integers(0, 9, 6) * TICK_US), TICK_US, max_ticks=9), Delay.forward)):
        with torch.no_grad():
            layer.delay_ticks.add_(torch.linspace(-0.4, 0.4, layer.delay_ticks.numel()).view_as(layer.delay_ticks))
        layer.sigma.fill_(2.0)
        running, slopes = out(layer.eval(), x), list[torch.Tensor]()
        weights = torch.randn_like(running)
        for layer.whole in (False, True):
            moved = out(layer.train(), x)
            slopes += torch.autograd.grad((moved * weights).sum(), layer.delay_ticks)
        torch.testing.assert_close(moved, running, rtol=0, atol=1e-6)
        torch.testing.assert_close(slopes[0], slopes[1], msg="the output is linear in what the delays deliver")


def test_whole_recurrent_delays_are_those_of_run_time_and_get_gradients():
    layer = RecurrentLIF(recurrent(np.random.default_rng(6)), max_ticks=10)
    layer.sigma.fill_(2.0)
    layer.whole = True
    x = torch.poisson(torch.full((30, 4, 6), 0.3))
    running, learning = layer.eval()(x), layer.train()(x)
    assert running.any()
    assert torch.equal(running, learning)
    learning.pow(2).sum().backward()
    assert (layer.delay_ticks.grad != 0).any()


def test_shifted_units_keep_what_they_hold_and_give_gradients_back_to_where_it_came_from():
    x = torch.randn(7, 2, 5, requires_grad=True)
    moves = [0, 3, 1, 9, 3]
    moved = shift(x, torch.tensor(moves))
    expected = torch.zeros(16, 2, 5)
    for unit, move in enumerate(moves):
        expected[move : move + 7, :, unit] = x[:, :, unit].detach()
    assert torch.equal(moved, expected)
    weights = torch.randn(16, 2, 5)
    (slope,) = torch.autograd.grad((moved * weights).sum(), x)
    assert torch.equal(slope, torch.stack([weights[move : move + 7, :, unit] for unit, move in enumerate(moves)], dim=2))


def test_a_smeared_recurrent_spike_comes_back_with_the_triangle_of_its_delay():
    layer = RecurrentLIF(recurrent(np.random.default_rng(0)), max_ticks=9).train()
    with torch.no_grad():
        layer.delay_ticks.fill_(3.0)
    layer.sigma.fill_(1.0)  # s = 2: 1/4 at lag 3, 2/4 at lag 4 = 1 + delay, 1/4 at lag 5
    assert layer._shares()[:, 0].tolist()[:7] == [0, 0, 0.25, 0.5, 0.25, 0, 0]


def test_dendritic_delays_are_the_delays_of_what_neurons_without_bias_give_out():
    spec = synaptic(np.random.default_rng(5), rows=1)
    x = torch.poisson(torch.full((30, 2, 6), 0.4))
    alone = LIF(LIFSpec(spec.weight, spec.tau_ms, spec.threshold, TICK_US))(x)
    late = shift(alone, torch.from_numpy(spec.delay_us[0] // TICK_US))
    assert torch.equal(SynapticDelay(spec).eval()(x)[:30], late[:30])


def test_alpha_is_learnt_and_exported():
    layer = MPSLIF(smoothed(np.random.default_rng(3)), learn_alpha=True)
    step_lowers_the_loss(layer, [layer.logit], steps=3, learning_rate=5.0)
    assert 0 < layer.spec().alpha < 1
    assert layer.spec().alpha != pytest.approx(0.4, abs=1e-3)


def test_an_alpha_of_zero_is_an_ordinary_neuron():
    spec = smoothed(np.random.default_rng(3), alpha=0.0)
    x = torch.poisson(torch.full((30, 2, 6), 0.4))
    assert torch.equal(MPSLIF(spec)(x), LIF(LIFSpec(spec.weight, spec.tau_ms, spec.threshold, TICK_US))(x))


def test_an_alpha_that_is_learnt_starts_above_zero():
    with pytest.raises(ValueError, match="above 0"):
        MPSLIF(smoothed(np.random.default_rng(3), alpha=0.0), learn_alpha=True)
