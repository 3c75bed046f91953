"""EventProp: exact gradients of spike times, held against finite differences, and models that run online as they were trained."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from operators.kernels.cuba_lif_adjoint import adjoint  # noqa: E402
from pipeline.layer_spec import CubaLIFSpec, DelaySpec, LIFSpec, ReadoutSpec  # noqa: E402
from pipeline.model_file import load_model  # noqa: E402
from pipeline.packet import Packet  # noqa: E402
from spikeline.catalog import make_catalog  # noqa: E402
from tests.naive_eventprop import spike_times  # noqa: E402
from trainer.command import compare, train  # noqa: E402
from trainer.event_network import LEAST_SLOPE, EventNetwork, EventReadout, trains  # noqa: E402
from trainer.eventprop import EventBatches, EventLearner, start  # noqa: E402
from trainer.fit import fit  # noqa: E402
from trainer.recipe import read_recipe  # noqa: E402
from trainer.surrogate import gather  # noqa: E402

RECIPE = """
train: {type: timing_task, task: coincidence, samples: 48, duration_ms: 200, volleys: 3}
validation: {type: timing_task, task: coincidence, samples: 12, duration_ms: 200, volleys: 3, draw: 1}
model:
  tick_ms: 1
  layers:
    - {type: delay, name: late, max_ms: 5}
    - {type: cuba_lif, name: hidden, units: 6, tau_ms: 10, tau_syn_ms: 3, reset: to_zero}
    - {type: readout, score: SCORE, tau_ms: 50}
training: {method: eventprop, epochs: 3, batch: 16, seed: 5, learning_rate: 0.01}
export: {path: model.safetensors, folder: run}
"""
CATALOG = make_catalog(custom=False)


def recipe(folder, score="max_membrane"):
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.replace("SCORE", score))
    return path


@pytest.mark.parametrize(("tau_ms", "tau_syn_ms"), [(20.0, 5.0), (4.0, 9.0)])
def test_gradients_of_weights_and_input_times_are_those_of_finite_differences(tau_ms, tau_syn_ms):
    rng = np.random.default_rng(7)
    n_in, n_out, n, e = 3, 2, 14, 1e-6
    weight, threshold = rng.normal(0.4, 0.3, (n_in, n_out)), 0.8
    t_in, unit_in = np.sort(rng.uniform(0, 40, n)), rng.integers(0, n_in, n)

    def times(weight, t_in):
        return spike_times(weight, tau_ms, tau_syn_ms, threshold, sorted(zip(t_in.tolist(), unit_in.tolist(), strict=True)), 70.0)

    t, unit = (np.array(column) for column in zip(*times(weight, t_in), strict=True))
    slope = rng.normal(size=t.size)

    def loss(weight, t_in):
        return sum(c * ms for c, (ms, _) in zip(slope, times(weight, t_in), strict=True))

    grad_in, grad_weight = np.zeros(n), np.zeros((n_in, n_out))
    rates = np.array([[1 / tau_syn_ms], [1 / tau_ms]])
    adjoint(np.array([0, n]), t_in, unit_in, np.array([0, t.size]), t, unit, slope, weight, np.full(n_out, threshold), rates,
            LEAST_SLOPE, np.zeros(t.size), grad_in, grad_weight, np.zeros(3 * n_out))  # fmt: skip
    assert t.size > 8
    for grad, moved in ((grad_weight, lambda step: loss(weight + step, t_in)), (grad_in, lambda step: loss(weight, t_in + step))):
        steps = np.eye(grad.size).reshape(grad.size, *grad.shape) * e
        found = np.array([(moved(step) - moved(-step)) / (2 * e) for step in steps]).reshape(grad.shape)
        np.testing.assert_allclose(grad, found, rtol=1e-4, atol=1e-5)


def slow_network(seed):
    """Two layers with delays and time constants of seconds, beside which a microsecond is nothing."""
    rng, slow = np.random.default_rng(seed), 1000.0
    return EventNetwork({
        "d": DelaySpec(rng.integers(0, 10_000_000, 5)),
        "h": CubaLIFSpec(rng.normal(0.12, 0.1, (5, 4)) / slow, 20 * slow, 5 * slow, 1.0, None, "to_zero"),
        "d2": DelaySpec(rng.integers(0, 10_000_000, 4)),
        "g": CubaLIFSpec(rng.normal(0.12, 0.05, (4, 3)) / slow, 20 * slow, 5 * slow, 1.0, None, "to_zero"),
        "o": ReadoutSpec("membrane", ("a", "b"), rng.normal(0, 0.5, (3, 2)), None, 30 * slow, 1),
    }, {"d": 1e5, "d2": 1e5})  # fmt: skip


def test_a_network_of_the_runtimes_own_spikes_has_the_gradient_of_finite_differences_delays_included():
    network, rng = slow_network(5), np.random.default_rng(5)
    x = trains([Packet(0, 90_000_000, np.sort(rng.integers(0, 60_000_000, 25)), rng.integers(0, 5, 25).astype(np.uint32))
                for _ in range(2)])

    def loss():
        return torch.nn.functional.cross_entropy(network(x, x.end_us).final(), torch.tensor([0, 1]))

    loss().backward()
    for name, parameter in network.named_parameters():
        flat, found = parameter.data.view(-1), []
        for k in range(flat.numel()):
            was, up_down = flat[k].item(), []
            for e in (3e-4, -3e-4):
                flat[k] = was + e * (flat.abs().mean().item() if "weight" in name else 30_000)
                up_down.append((flat[k].item(), loss().item()))
            flat[k] = was
            found.append((up_down[0][1] - up_down[1][1]) / (up_down[0][0] - up_down[1][0]))
        grad, found = parameter.grad.view(-1).numpy(), np.array(found)
        if name.endswith("delay_ms"):  # a sample lasts as long as its greatest delay: to the gradient its end is a constant
            grad, found = (np.delete(values, int(parameter.argmax())) for values in (grad, found))
        np.testing.assert_allclose(grad, found, rtol=0.02, atol=0.02 * np.abs(found).max(), err_msg=name)


def test_the_greatest_membrane_learns_from_the_spikes_up_to_it():
    readout = EventReadout(ReadoutSpec("max_membrane", ("a", "b"), np.array([[1.0, -1.0], [-2.0, 0.5]]), None, 10.0, 1000))
    x = trains([Packet(0, 50_000, np.array([4000, 8000, 20_000]), np.array([0, 0, 1], np.uint32))])
    x = x._replace(ms=x.ms.requires_grad_())
    scores = readout(x)
    held = np.exp(-0.4)
    np.testing.assert_allclose(scores[0].detach(), [1 + held, 0.0], rtol=1e-6)
    scores[0, 0].backward()
    np.testing.assert_allclose(x.ms.grad, [held / 10, -held / 10, 0], rtol=1e-6)  # a closer pair sums to more


def test_a_class_that_is_only_ever_inhibited_scores_nothing_or_where_it_began():
    spec = ReadoutSpec("max_membrane", ("a",), np.array([[-1.0]]), None, 10.0, 1000)
    late = trains([Packet(0, 50_000, np.array([4000]), np.zeros(1, np.uint32))])
    early = trains([Packet(0, 3000, np.array([0]), np.zeros(1, np.uint32))])
    none = trains([Packet(0, 3000)])
    scores = [EventReadout(spec)(x).item() for x in (late, early, none)]
    assert scores == pytest.approx([0.0, -np.exp(-0.2), 0.0])


@pytest.mark.parametrize("score", ["membrane", "max_membrane"])
def test_an_exported_model_runs_online_in_continuous_time_as_it_was_trained(tmp_path, score):
    path = recipe(tmp_path, score)
    train(path, [], False, CATALOG)
    model = load_model(tmp_path / "model.safetensors")
    assert model.layers["hidden"].tick_us is None
    assert model.metrics["spikes_per_neuron_and_second"]["hidden"] > 1
    report = compare(path, [], CATALOG)
    assert report.episodes == 12
    assert report.spikes["hidden"] > 12
    assert report.equal
    assert report.scores < 1e-5
    assert not report.decided_otherwise


def test_a_killed_run_that_is_resumed_ends_like_an_undisturbed_one(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    train(recipe(tmp_path), [], False, CATALOG)
    whole = (tmp_path / "model.safetensors").read_bytes()
    at = EventBatches.at
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(EventBatches, "at", lambda self, epoch: at(self, epoch) if epoch < 2 else (_ for _ in ()).throw(Killed))
        train(recipe(tmp_path), [], False, CATALOG)
    train(recipe(tmp_path), [], True, CATALOG)
    assert (tmp_path / "model.safetensors").read_bytes() == whole


def test_a_silent_neuron_is_nudged_until_it_fires(tmp_path):
    options = read_recipe(recipe(tmp_path), ["training.nudge=0.5", "training.learning_rate=1e-9"], CATALOG)
    data = gather(options, options.training, EventBatches)
    network = start(options, options.training, data.format, data.first)
    with torch.no_grad():
        network.layers["hidden"].weight[:, 2] -= 1.0
    batch = next(iter(data.train))
    assert network(batch.x, batch.ticks).rates()["hidden"][2] == 0
    fit(network, options.training, data.train, None, tmp_path / "run", learner=EventLearner)
    assert network.layers["hidden"].weight[:, 2].mean() > -0.5


def test_layers_without_exact_gradients_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="layer 'hidden' is none of them: use method surrogate"):
        EventNetwork({"hidden": LIFSpec(np.ones((2, 2)), np.array(10.0), np.array(1.0))})
    with pytest.raises(ValueError, match="layer 'out' is none of them"):
        train(recipe(tmp_path, "spike_count"), [], False, CATALOG)
