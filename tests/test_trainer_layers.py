"""The torch modules: built from specs and returning them, the law of the tick, and gradients that lead the right way."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.layer_spec import DelaySpec, LIFSpec, ReadoutSpec  # noqa: E402
from trainer.layers import LIF, Delay, Readout, build, shift  # noqa: E402
from trainer.layers.lif import Scan  # noqa: E402
from trainer.layers.surrogates import atan  # noqa: E402
from trainer.network import Network  # noqa: E402

TICK_US = 5000


def lif_spec(seed=0, n_in=3, n_out=4, **other):
    rng = np.random.default_rng(seed)
    options = {"tau_ms": rng.uniform(5, 30, n_out), "threshold": rng.uniform(0.5, 1.5, n_out), "tick_us": TICK_US} | other
    return LIFSpec(rng.normal(0.3, 0.5, (n_in, n_out)), **options)


def arrays_of(spec):
    return {name: value for name, value in vars(spec).items() if isinstance(value, np.ndarray)}


@pytest.mark.parametrize("spec", [
    lif_spec(), lif_spec(reset="to_zero"), lif_spec(bias=np.full(4, 0.01)), lif_spec(tau_ms=np.array([0, 5, np.inf, 3])),
    DelaySpec(np.array([0, 5000, 20_000])),
    ReadoutSpec("spike_count", ("a", "b"), np.ones((3, 2)), temperature=1.7),
    ReadoutSpec("softmax_sum", ("a", "b"), np.ones((3, 2)), np.array([0.5, 1]), np.array([7.0, 9.0]), TICK_US),
])
def test_a_module_returns_the_spec_it_was_built_from(spec):
    back = build(spec, TICK_US).spec()
    assert {k: v.tobytes() for k, v in arrays_of(back).items()} == {k: v.tobytes() for k, v in arrays_of(spec).items()}
    others = {k: v for k, v in vars(spec).items() if not isinstance(v, np.ndarray)}
    assert {k: v for k, v in vars(back).items() if not isinstance(v, np.ndarray)} == others


def test_a_tick_decays_adds_compares_emits_and_resets_in_this_order():
    spec = LIFSpec(np.array([[1.0]]), np.array([5.0 / np.log(2)]), np.array([1.5]), TICK_US)  # half is kept over a tick
    spikes = LIF(spec)(torch.tensor([1.0, 1.0, 1.0, 3.0]).reshape(4, 1, 1)).flatten().tolist()
    # v: 1 | 0.5 + 1 = 1.5 >= 1.5, spike, 0 | 1 | 0.5 + 3 = 3.5, spike, 2
    assert spikes == [0, 1, 0, 1]


def test_what_subtracting_leaves_above_threshold_fires_again_and_zero_does_not():
    for reset, want in (("subtract", [1, 1, 0]), ("to_zero", [1, 0, 0])):
        spec = LIFSpec(np.array([[1.0]]), np.array([np.inf]), np.array([1.0]), TICK_US, reset)
        assert LIF(spec)(torch.tensor([2.0, 0, 0]).reshape(3, 1, 1)).flatten().tolist() == want


def test_the_hand_written_backward_pass_equals_automatic_differentiation():
    for reset in ("subtract", "to_zero"):
        layer = LIF(lif_spec(reset=reset, threshold=np.ones(4)), learn_tau=True)
        x = torch.from_numpy(np.random.default_rng(1).poisson(0.8, (9, 2, 3)).astype(np.float32))
        toward = torch.from_numpy(np.random.default_rng(2).normal(size=(9, 2, 4)).astype(np.float32))
        (layer(x) * toward).sum().backward()
        got = [layer.weight.grad.clone(), layer.tau_ms.log_factor.grad.clone()]
        layer.zero_grad()
        (slow_lif(layer, x) * toward).sum().backward()
        assert torch.allclose(got[0], layer.weight.grad, rtol=1e-4, atol=1e-5)
        assert torch.allclose(got[1], layer.tau_ms.log_factor.grad, rtol=1e-4, atol=1e-5)


def slow_lif(layer, x):
    """The same layer by torch's own differentiation: a step forward, the surrogate's slope backward, a constant reset."""
    current, d, threshold = layer.current(x), layer.decay(), layer.threshold()
    v, spikes = torch.zeros_like(current[0]), []
    for tick in current:
        v = d * v + tick
        slope = layer.surrogate((v - threshold) / threshold).detach()
        spike = (v >= threshold).float()
        spikes.append(spike + slope * (v - v.detach()))
        v = v - threshold * spike if layer.reset == "subtract" else v * (1 - spike)
    return torch.stack(spikes)


@pytest.mark.parametrize("reset", ["subtract", "to_zero"])
def test_the_scan_over_all_ticks_is_the_tick_by_tick_one_bit_for_bit(reset):
    torch.manual_seed(1)
    current, d, threshold = torch.randn(30, 3, 7), torch.rand(7), 0.5 + torch.rand(7)
    v, traces, spikes = torch.zeros(3, 7), list[torch.Tensor](), list[torch.Tensor]()
    for tick in current:
        v = v * d + tick
        traces.append(v)
        spikes.append((v >= threshold).float())
        v = v - threshold * spikes[-1] if reset == "subtract" else v.masked_fill(spikes[-1] > 0, 0.0)
    current.requires_grad_()
    found, trace = Scan.apply(current, d, threshold, reset, atan)
    assert torch.equal(found, torch.stack(spikes))
    assert torch.equal(trace, torch.stack(traces))
    weights = torch.randn_like(found)
    (slope,) = torch.autograd.grad((found * weights).sum(), current)
    delta = weights * atan((trace - threshold) / threshold) / threshold
    for t in range(28, -1, -1):
        delta[t] += delta[t + 1] * d * (1 if reset == "subtract" else 1 - found[t])
    assert torch.equal(slope, delta)


def test_a_threshold_that_is_learnt_rises_to_silence_a_neuron():
    layer = LIF(lif_spec(), learn_threshold=True)
    layer(torch.ones(6, 2, 3)).sum().backward()
    assert (layer.threshold.log_factor.grad <= 0).all()
    assert layer.threshold.log_factor.grad.min() < 0


def test_an_evaluated_delay_moves_each_unit_by_whole_ticks_and_gives_all():
    layer = Delay(DelaySpec(np.array([0, 2, 1]) * TICK_US), TICK_US).eval()
    out = layer(torch.eye(3)[:, None, :])
    assert out.shape == (5, 1, 3)
    assert out.nonzero().tolist() == [[0, 0, 0], [3, 0, 1], [3, 0, 2]]


def test_a_smeared_delay_keeps_the_number_of_spikes_and_centres_on_its_delay():
    layer = Delay(DelaySpec(np.array([3]) * TICK_US), TICK_US, max_ticks=8)
    layer.sigma.fill_(0.7)
    x = torch.zeros(12, 1, 1)
    x[2] = 1
    out = layer(x).flatten()
    assert out.sum().item() == pytest.approx(1, abs=1e-4)
    assert int(out.argmax()) == 5


def test_a_delay_is_drawn_to_where_its_spike_is_wanted():
    layer = Delay(DelaySpec(np.array([2]) * TICK_US), TICK_US, max_ticks=10)
    step = torch.optim.Adam(layer.parameters(), 0.2)
    x = torch.zeros(14, 1, 1)
    x[1] = 1
    for sigma in np.linspace(3, 0.5, 100):
        layer.sigma.fill_(float(sigma))
        step.zero_grad()
        out = layer(x)
        target = torch.zeros_like(out)
        target[8:9] = 1
        ((out - target) ** 2).sum().backward()
        step.step()
        layer.clamp()
    assert layer.spec().delay_us.tolist() == [7 * TICK_US]


def test_a_delay_stays_within_its_limits():
    layer = Delay(DelaySpec(np.array([0, 4]) * TICK_US), TICK_US, max_ticks=4)
    with torch.no_grad():
        layer.delay_ticks.add_(torch.tensor([-3.0, 9.0]))
    layer.clamp()
    assert layer.spec().delay_us.tolist() == [0, 4 * TICK_US]


def test_delays_off_the_tick_cannot_be_trained():
    with pytest.raises(ValueError, match="whole ticks of 5000 us"):
        Delay(DelaySpec(np.array([7000])), TICK_US)


def test_a_layer_in_event_mode_cannot_be_trained():
    with pytest.raises(ValueError, match="on a tick"):
        LIF(lif_spec(tick_us=None))


def test_spike_counts_add_up_to_scores():
    layer = Readout(ReadoutSpec("spike_count", ("a", "b"), np.array([[1, 0], [0, 2]]), np.array([0.5, 0])))
    scores = layer(torch.tensor([[1.0, 0], [0, 1], [1, 1]])[:, None, :])[:, 0].tolist()
    assert scores == [[1.5, 0], [1.5, 2], [2.5, 4]]


def test_a_membrane_readout_decays_and_adds():
    spec = ReadoutSpec("membrane", ("a", "b"), None, None, np.array(5.0 / np.log(2)), TICK_US)
    scores = Readout(spec)(torch.tensor([[1.0, 0], [0, 1], [0, 0]])[:, None, :])[:, 0]
    assert scores.tolist() == [[1, 0], [0.5, 1], [0.25, 0.5]]


def test_a_softmax_sum_adds_one_a_tick_over_all_classes():
    spec = ReadoutSpec("softmax_sum", ("a", "b"), None, None, np.array(20.0), TICK_US)
    scores = Readout(spec)(torch.rand(6, 1, 2))
    assert torch.allclose(scores.sum(-1)[:, 0], torch.arange(1.0, 7.0))


def test_padding_after_the_end_of_a_sample_changes_no_score():
    network = Network({"hidden": lif_spec(), "late": DelaySpec(np.array([0, 1, 3, 2]) * TICK_US),
                       "out": ReadoutSpec("softmax_sum", ("a", "b"), np.random.default_rng(3).normal(size=(4, 2)), None,
                                          np.array(9.0), TICK_US)}, TICK_US).eval()
    x = torch.from_numpy(np.random.default_rng(4).poisson(0.7, (5, 1, 3)).astype(np.float32))
    alone = network(x, torch.tensor([5])).final()[0]
    longer = torch.from_numpy(np.random.default_rng(5).poisson(0.7, (9, 1, 3)).astype(np.float32))
    padded = torch.cat((torch.cat((x, torch.zeros(4, 1, 3))), longer), dim=1)
    outcome = network(padded, torch.tensor([5, 9]))
    assert outcome.ends.tolist() == [8, 12]
    assert torch.allclose(outcome.final()[0], alone)
    assert torch.allclose(outcome.rates()["hidden"],
                          (network(x, torch.tensor([5])).spikes["hidden"].sum((0, 1))
                           + network(longer, torch.tensor([9])).spikes["hidden"].sum((0, 1))) / 14)


def test_shifting_by_nothing_changes_nothing():
    x = torch.rand(4, 2, 3)
    assert torch.equal(shift(x, torch.zeros(3, dtype=torch.long)), x)


def test_a_network_ends_in_a_readout():
    with pytest.raises(ValueError, match="ends in one readout"):
        Network({"hidden": lif_spec()}, TICK_US)
