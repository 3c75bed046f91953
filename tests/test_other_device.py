"""Training on a device that no kernel reaches, as a GPU: nothing stays behind on the CPU, and what comes out is the same."""

import pytest

torch = pytest.importorskip("torch")

from spikeline.catalog import make_catalog  # noqa: E402
from tests.elsewhere import DEVICE, Device, Elsewhere, move  # noqa: E402
from trainer.command import train  # noqa: E402
from trainer.data import Batch  # noqa: E402
from trainer.fit import Classifier, accelerator, made_beside  # noqa: E402
from trainer.recipe import read_recipe  # noqa: E402
from trainer.start import start  # noqa: E402
from trainer.surrogate import gather  # noqa: E402

CATALOG = make_catalog(custom=False)
RECIPE = """
train: {type: dvs_scene, width: 8, height: 8, motions: [right, left], episode_ms: [60, 100], seed: 1, episodes: 6}
validation_share: 0
operators:
  - {type: crop_pool, to: [2, 4, 4]}
model: {tick_ms: 10, layers: [{type: readout}]}
training: {batch: 6, every_ms: 30, seed: 5}
export: {path: model.safetensors, folder: run}
"""
LIF = "{type: lif, name: a, units: 7, tau_ms: 10, gain: 1, learn: [tau, threshold]}"
ZERO = "{type: lif, name: b, units: 5, tau_ms: 10, gain: 1, reset: to_zero}"
DELAY = "{type: delay, name: late, max_ms: 40}"
OUT = "{type: readout}"
LAYERS = {
    "delays that are learnt": f"[{LIF}, {DELAY}, {ZERO}, {OUT}]",
    "synaptic delays": f"[{{type: synaptic_delay, name: a, units: 6, max_ms: 30, gain: 1}}, {OUT}]",
    "recurrent delays": f"[{{type: recurrent_lif, name: a, units: 6, max_ms: 30, gain: 1}}, {OUT}]",
    "images": "[{type: conv_lif, name: a, channels: 3, padding: 1, batch_norm: true, gain: 1}, "
              f"{{type: conv_lif, name: b, channels: 3, padding: 1, gain: 1}}, "
              f"{{type: shortcut, name: past}}, {{type: pool, name: joined, how: max}}, {OUT}]",
    "few bits": "[{type: quantised_conv_lif, name: a, channels: 3, padding: 1, bits: 1, gain: 1}, "
                f"{{type: quantised_lif, name: b, units: 6, bits: 2, gain: 1}}, {OUT}]",
    "current-based": f"[{{type: cuba_lif, name: a, units: 6, gain: 1, learn: [tau]}}, {OUT}]",
    "smoothed": f"[{{type: mps_lif, name: a, units: 6, gain: 1}}, {OUT}]",
    "adaptive": "[{type: adaptive_lif, name: a, units: 6, tau_ms: [25, 125], gain: 1, learn: [tau, adaptation]}, " + OUT + "]",
    "resonating": f"[{{type: resonate, name: a, units: 6, gain: 1, learn: [tau]}}, {OUT}]",
    "alpha kernels": f"[{{type: srm, name: a, units: 6, gain: 1, learn: [tau]}}, {OUT}]",
    "random": f"[{{type: random_lif, name: a, units: 6, scale: 0.5}}, {{type: time_bins, name: c, bin_ms: 20, bins: 3}}, {OUT}]",
    "a membrane": f"[{LIF}, {{type: readout, score: membrane, learn: [tau]}}]",
    "the greatest membrane": f"[{LIF}, {{type: readout, score: max_membrane}}]",
    "counts of output neurons": f"[{LIF}, {{type: lif, name: b, units: 12, gain: 1}}, {{type: readout, weights: none}}]",
    "sums of softmax": f"[{LIF}, {{type: readout, score: softmax_sum}}]",
}
TRAINING = {
    "dropout, early decisions, guidance": "{dropout: 0.2, guidance_weight: 0.5, every_ms: 10, rate_least: 0.01}",
    "tick by tick": "{gradient: sltt, guidance_weight: 0.5, every_ms: 10}",
    "in chunks": "{gradient: truncated, truncate_ticks: 3, every_ms: 10}",
}


def step(tmp_path, *overrides):
    """The loss, the gradients and the scores of a batch, as [value...] by name: here, and Elsewhere."""
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    options = read_recipe(path, overrides, CATALOG)
    data = gather(options, options.training)
    found = []
    for away in (False, True):
        network = start(options.model, options.training, data.format.names, data.first, data.format.shape).train()
        for delay in network.delays():
            delay.sigma.fill_(2.0)
        module, batch = Classifier(network, options.training, 1), data.first
        if not away:
            found.append(results(module, batch))
            continue
        move(network)
        with Device():
            theirs = results(module, Batch(*map(Elsewhere, batch)))
            for delay in network.delays():
                delay.clamp()
        assert all(isinstance(value, Elsewhere) for value in theirs.values())
        found.append({name: value.held for name, value in theirs.items()})
    return found


def results(module, batch):
    torch.manual_seed(0)
    with made_beside(batch.labels):
        if module.automatic_optimization:
            outcome = module.network(batch.x, batch.ticks)
            loss, scores = module.loss(outcome, batch), outcome.final()
            loss.backward()
        else:
            loss, scores = module._backward(batch)
    gradients = {name: p.grad for name, p in module.network.named_parameters() if p.grad is not None}
    return {"loss": loss, "scores": scores} | gradients


def agree(found):
    here, there = found
    assert here.keys() == there.keys()
    assert len(here) > 2
    for name, value in here.items():
        own, other = value.detach(), there[name].detach()
        torch.testing.assert_close(other, own, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("layers", LAYERS)
def test_layers_learn_on_another_device_as_they_do_here(tmp_path, layers):
    agree(step(tmp_path, f"model.layers={LAYERS[layers]}"))


@pytest.mark.parametrize("training", TRAINING)
def test_losses_and_gradients_reach_another_device(tmp_path, training):
    hidden = LIF if "sltt" in TRAINING[training] else f"{LIF}, {DELAY}"
    agree(step(tmp_path, f"model.layers=[{hidden}, {OUT}]", f"training={TRAINING[training]}"))


def test_a_teacher_follows_its_student(tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    layers = f"model.layers=[{LIF}, {OUT}]"
    train(tmp_path / "recipe.yaml", [layers, "training.epochs=1", "training.accelerator=cpu"], False, CATALOG)
    agree(step(tmp_path, layers, f"training.teacher={tmp_path}/model.safetensors"))


def test_a_tensor_that_stays_behind_is_found():
    with Device(), DEVICE:
        there = torch.zeros(3)
    with pytest.raises(RuntimeError, match="tensors of two devices"):
        there + torch.zeros(3)
    with pytest.raises(RuntimeError, match="not supported"):
        there.numpy()


def test_a_gpu_is_used_where_there_is_one_and_missed_where_it_was_asked_for(tmp_path, monkeypatch):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    auto, cpu, gpu, two = (read_recipe(path, [f"training.{own}"], CATALOG).training for own in (
        "accelerator=auto", "accelerator=cpu", "accelerator=gpu", "devices=2"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert [accelerator(training) for training in (auto, cpu, gpu, two)] == ["cuda", "cpu", "cuda", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [accelerator(training) for training in (auto, cpu)] == ["cpu", "cpu"]
    with pytest.raises(ValueError, match="accelerator: gpu needs a CUDA device for each of 1 processes, found 0"):
        accelerator(gpu)
