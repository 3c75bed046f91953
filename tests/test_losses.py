"""The losses, against their formulas written out; every layer of a recipe begins, learns and is exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.config_errors import ConfigErrors  # noqa: E402
from pipeline.layer_spec import spec_type  # noqa: E402
from spikeline.catalog import make_catalog  # noqa: E402
from trainer.fit import Classifier  # noqa: E402
from trainer.layers import SURROGATES  # noqa: E402
from trainer.losses import guidance, num_spikes, out_of_bounds, spikemax  # noqa: E402
from trainer.network import Outcome  # noqa: E402
from trainer.recipe import Training, read_recipe  # noqa: E402
from trainer.start import start  # noqa: E402
from trainer.surrogate import gather  # noqa: E402

COUNTS, LABELS, TICKS = torch.tensor([[4.0, 1.0, 0.0], [0.0, 0.0, 2.0]]), torch.tensor([0, 1]), torch.tensor([10, 20])


def test_spikemax_is_the_share_of_the_right_class_in_all_spikes():
    first = -np.log((0.4 + 1e-3) / (0.5 + 1e-3))
    second = -np.log((0 + 1e-3) / (0.1 + 1e-3))
    assert spikemax(COUNTS, LABELS, TICKS, Training()).item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_num_spikes_is_the_distance_to_a_share_of_the_ticks():
    options = Training(target_shares=(0.5, 0.1))
    first = ((0.4 - 0.5) ** 2 + (0.1 - 0.1) ** 2 + (0 - 0.1) ** 2) / 2
    second = ((0 - 0.1) ** 2 + (0 - 0.5) ** 2 + (0.1 - 0.1) ** 2) / 2
    assert num_spikes(COUNTS, LABELS, TICKS, options).item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_guidance_compares_what_a_step_adds_with_what_the_next_adds_and_teaches_backwards_alone():
    steps = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[3.0, 3.0]]])  # three steps of one sample
    scores = steps.cumsum(0).requires_grad_()
    outcome = Outcome(scores, torch.tensor([2]), {}, {})
    p = torch.softmax(steps / 2, -1)
    expected = (p[1] * (p[1].log() - p[0].log())).sum()  # the third step lies beyond the sample's end
    loss = guidance(outcome, "spike_count", 1, 2.0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert scores.grad is not None
    assert scores.grad[0].abs().sum() > 0
    assert scores.grad[1:].abs().sum() == 0, "the later step is the teacher"


def test_guidance_of_one_step_is_nothing():
    assert guidance(Outcome(torch.ones(1, 2, 3), torch.tensor([1, 1]), {}, {}), "membrane", 1, 2.0).item() == 0


@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_surrogates_are_greatest_at_the_threshold_and_the_same_on_both_sides(name):
    u = torch.arange(-20, 21) / 10
    slope = SURROGATES[name](u)
    assert slope[20] == slope.max() == 1
    torch.testing.assert_close(slope, slope.flip(0))
    assert (slope >= 0).all()
    assert slope[0] < 0.1


LAYERS = {
    "mps_lif": "{type: mps_lif, name: hidden, units: 10, tau_ms: 15}",
    "cuba_lif": "{type: cuba_lif, name: hidden, units: 10, tau_ms: 15, learn: [tau]}",
    "synaptic_delay": "{type: synaptic_delay, name: hidden, units: 10, tau_ms: 15, max_ms: 30}",
    "recurrent_lif": "{type: recurrent_lif, name: hidden, units: 10, tau_ms: 15, max_ms: 20, learn: [tau, threshold, delay]}",
}


def recipe(folder: Path, layer: str, *overrides: str, readout: str = "{type: readout}") -> object:
    path = folder / "recipe.yaml"
    path.write_text("train: {type: timing_task, task: coincidence, samples: 24, duration_ms: 60, volleys: 3}\n"
                    f"model:\n  tick_ms: 2\n  layers:\n    - {layer}\n    - {readout}\n"
                    "training: {epochs: 1, batch: 8, every_ms: 20, seed: 5}\n"
                    "export: {path: model.safetensors, folder: run}\n")
    return read_recipe(path, overrides, make_catalog(custom=False))


@pytest.mark.parametrize("kind", LAYERS)
def test_every_layer_begins_alive_learns_and_is_exported(tmp_path, kind):
    options = recipe(tmp_path, LAYERS[kind])
    data = gather(options, options.training)
    network = start(options.model, options.training, data.format.names, data.first)
    module, batch = Classifier(network, options.training, 1), next(iter(data.train))
    for delay in network.delays():
        delay.sigma.fill_(1.0)
    assert network(batch.x, batch.ticks).spikes["hidden"].sum() > 10
    optimizer, losses = torch.optim.Adam(network.parameters(), 3e-3), []
    for _ in range(6):
        optimizer.zero_grad()
        loss = module.loss(network(batch.x, batch.ticks), batch)
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    assert losses[-1] < losses[0]
    assert spec_type(network.specs()["hidden"]) == kind


@pytest.mark.parametrize("loss", ["spikemax", "num_spikes"])
def test_losses_of_spikes_train_output_neurons(tmp_path, loss):
    layer = "{type: lif, name: hidden, units: 3, tau_ms: 15}"
    options = recipe(tmp_path, layer, f"training.loss={loss}", readout="{type: readout, weights: none}")
    data = gather(options, options.training)
    network = start(options.model, options.training, data.format.names, data.first)
    module, batch = Classifier(network, options.training, 1), next(iter(data.train))
    optimizer, losses = torch.optim.Adam(network.parameters(), 1e-2), []
    for _ in range(10):
        optimizer.zero_grad()
        value = module.loss(network(batch.x, batch.ticks), batch)
        value.backward()
        losses.append(value.item())
        optimizer.step()
    assert losses[-1] < losses[0]


def test_a_loss_of_spikes_with_weights_behind_them_is_refused(tmp_path):
    with pytest.raises(ConfigErrors, match="weights: none"):
        recipe(tmp_path, "{type: lif, name: hidden, units: 3}", "training.loss=spikemax")


def test_a_readout_without_weights_wants_a_neuron_a_class(tmp_path):
    options = recipe(tmp_path, "{type: lif, name: hidden, units: 4}", readout="{type: readout, weights: none}")
    data = gather(options, options.training)
    with pytest.raises(ValueError, match="want 3 units, got 4"):
        start(options.model, options.training, data.format.names, data.first)


def test_rates_are_held_between_two_bounds_and_free_inside_of_them():
    rate = torch.tensor([0.0, 0.05, 0.1, 0.2], requires_grad=True)
    loss = out_of_bounds(rate, 0.05, 0.1)
    assert loss.item() == pytest.approx((1 + 0 + 0 + 1) / 4)
    loss.backward()
    assert rate.grad[0] < 0 < rate.grad[3]
    assert rate.grad[1:3].tolist() == [0, 0]
    assert out_of_bounds(rate, 0.0, 0.1).item() == pytest.approx(1 / 4)
