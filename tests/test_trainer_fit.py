"""Training runs: they learn, they stop and go on as if undisturbed, and their recipe's mistakes are all named."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from pipeline.config_errors import ConfigErrors  # noqa: E402
from pipeline.layer_spec import DelaySpec  # noqa: E402
from pipeline.model_file import load_model  # noqa: E402
from spikeline.catalog import make_catalog  # noqa: E402
from trainer.command import compare, train  # noqa: E402
from trainer.fit import HISTORY, Classifier, early, fit  # noqa: E402
from trainer.history import History, read, write  # noqa: E402
from trainer.network import Outcome  # noqa: E402
from trainer.recipe import read_recipe  # noqa: E402
from trainer.start import start  # noqa: E402
from trainer.surrogate import gather  # noqa: E402

CONFIGS = Path(__file__).parent.parent / "configs"
CATALOG = make_catalog(custom=False)
RECIPE = """
train: {type: dvs_scene, width: 8, height: 8, motions: [right, left], episode_ms: [60, 100], seed: 1, episodes: 24}
validation: {type: dvs_scene, width: 8, height: 8, motions: [right, left], episode_ms: [60, 100], seed: 2, episodes: 8}
operators:
  - {type: crop_pool, to: [2, 4, 4]}
augmentation: {drop: 0.2}
model:
  tick_ms: 10
  layers:
    - {type: lif, name: hidden, units: 12, tau_ms: 10, learn: [tau, threshold]}
    - {type: delay, name: late, max_ms: 40}
    - {type: lif, name: second, units: 8, tau_ms: 10}
    - {type: readout, name: out, score: spike_count}
training: {epochs: 3, batch: 8, every_ms: 30, seed: 5, threads: 1, dropout: 0.1}
export: {path: model.safetensors, folder: run, trained_on: moving stripes}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def prepared(recipe, *overrides):
    options = read_recipe(recipe, overrides, CATALOG)
    data = gather(options, options.training)
    return options.training, data, start(options.model, options.training, data.format.names, data.first)


def test_a_step_down_the_gradient_lowers_the_loss_and_every_layer_gets_a_gradient(recipe):
    training, data, network = prepared(recipe, "training.dropout=0")
    module, batch = Classifier(network, training, 1), next(iter(data.train))
    network.layers["late"].sigma.fill_(2.0)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = module.loss(network(batch.x, batch.ticks), batch)
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_delays_move_while_they_are_trained(recipe, tmp_path):
    training, data, network = prepared(recipe, "training.delay_learning_rate=0.5")
    before = network.specs()["late"].delay_us.copy()
    fit(network, training, data.train, data.validation, tmp_path / "run")
    after = network.specs()["late"]
    assert isinstance(after, DelaySpec)
    assert (after.delay_us != before).any()
    assert after.delay_us.max() <= 40_000


def test_the_cap_of_delays_grows_while_many_are_near_it(recipe, tmp_path):
    change = "model.layers.1={type: delay, name: late, max_ms: 400, cap_ms: 20}"
    training, data, network = prepared(recipe, change, "training.epochs=4", "training.delay_learning_rate=0.5")
    late = network.layers["late"]
    assert network.specs()["late"].delay_us.max() <= 20_000
    fit(network, training, data.train, data.validation, tmp_path / "run")
    grown = [torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]["network.layers.late.greatest"].item()]
    assert grown == [5]  # 2 ticks, and one for each of the epochs after the first: all delays are within 5 ticks of the cap
    late.delay_ticks.data[:] = 0
    late.greatest.fill_(9)
    late.grow()
    assert late.greatest == 9
    late.delay_ticks.data[:3] = 8  # a quarter
    late.grow()
    assert late.greatest == 10
    late.greatest.fill_(40)
    late.delay_ticks.data[:] = 40
    late.grow()
    assert late.greatest == 40


def test_training_in_lower_precision_exports_a_model_that_runs_as_it_was_validated(recipe, tmp_path):
    files = []
    for precision in ("32-true", "bf16-mixed"):
        train(recipe, ["training.epochs=2", f"training.precision={precision}"], False, CATALOG)
        files.append((tmp_path / "model.safetensors").read_bytes())
        assert compare(recipe, [], CATALOG).equal
    assert files[0] != files[1]
    with pytest.raises(ConfigErrors, match="precision: bf16-mixed is for gradient: full"):
        read_recipe(recipe, ["training.precision=bf16-mixed", "training.gradient=truncated"], CATALOG)


@pytest.mark.slow
def test_two_processes_share_the_batches_and_export_one_model(recipe, tmp_path):
    command = [sys.executable, "-m", "spikeline.cli", "train", str(recipe)]
    ended = subprocess.run([*command, "--set", "training.devices=2"], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("validation_accuracy: ") == 1
    assert [row["epoch"] for row in read(tmp_path / "run" / HISTORY)] == [1, 2, 3]
    last = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 3  # an epoch has 3 batches, and each process takes one
    assert compare(recipe, [], CATALOG).equal


def test_more_processes_than_batches_are_refused(recipe, tmp_path):
    training, data, network = prepared(recipe, "training.devices=4")
    with pytest.raises(ValueError, match="4 processes have only 3 batches to share"):
        fit(network, training, data.train, data.validation, tmp_path / "run")


def test_delays_that_are_not_learnt_stay(recipe, tmp_path):
    change = "model.layers.1={type: delay, name: late, max_ms: 40, start: zero, learn: false}"
    training, data, network = prepared(recipe, change)
    fit(network, training, data.train, data.validation, tmp_path / "run")
    assert not network.specs()["late"].delay_us.any()


def test_a_killed_run_that_is_resumed_ends_like_an_undisturbed_one(recipe, tmp_path):
    class Killed(BaseException):
        pass

    training, data, undisturbed = prepared(recipe)
    fit(undisturbed, training, data.train, data.validation, tmp_path / "whole")

    training, data, killed = prepared(recipe)
    at = data.train.at
    data.train.at = lambda epoch: at(epoch) if epoch < 2 else (_ for _ in ()).throw(Killed)  # dies in its third epoch
    with pytest.raises(Killed):
        fit(killed, training, data.train, data.validation, tmp_path / "cut")

    training, data, resumed = prepared(recipe)
    fit(resumed, training, data.train, data.validation, tmp_path / "cut", resume=True)
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    rows = [read(tmp_path / run / HISTORY) for run in ("whole", "cut")]
    assert [row["epoch"] for row in rows[0]] == [1, 2, 3]
    assert rows[0] == rows[1]
    assert {"train_loss", "val_loss", "train_accuracy", "val_accuracy"} <= set(rows[0][2])


@pytest.mark.slow
def test_a_run_that_kill_9_ends_is_resumed_to_the_same_file(recipe, tmp_path):
    recipe.write_text(RECIPE.replace("epochs: 3", "epochs: 12"))
    command = [sys.executable, "-m", "spikeline.cli", "train", str(recipe)]
    train(recipe, [], False, CATALOG)
    whole = (tmp_path / "model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "model.safetensors").unlink()
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(read(tmp_path / "run" / HISTORY)) < 3 or not (tmp_path / "run" / "last.ckpt").exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    run.kill()
    run.wait()
    assert not (tmp_path / "model.safetensors").exists()
    subprocess.run([*command, "--resume"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert (tmp_path / "model.safetensors").read_bytes() == whole


def test_a_history_that_ran_ahead_of_its_checkpoint_is_written_anew(tmp_path):
    write(tmp_path / "metrics.csv", [{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": 0.25, "late": 1.0}])
    assert read(tmp_path / "metrics.csv") == [{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": 0.25, "late": 1.0}]
    history = History(tmp_path / "metrics.csv")
    resumed = SimpleNamespace(current_epoch=1, callback_metrics={"loss": torch.tensor(0.125)}, is_global_zero=True)
    history.on_train_start(resumed, None)
    history.on_train_epoch_end(resumed, None)
    assert read(tmp_path / "metrics.csv") == [{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": 0.125}]
    assert read(tmp_path / "none.csv") == []


def test_resuming_without_a_checkpoint_says_so(recipe, tmp_path):
    training, data, network = prepared(recipe)
    with pytest.raises(ValueError, match=r"last\.ckpt: no checkpoint to go on from"):
        fit(network, training, data.train, data.validation, tmp_path / "none", resume=True)


def test_a_recipe_becomes_a_model_file_with_a_card(recipe, tmp_path, capsys):
    train(recipe, ["training.epochs=1"], False, CATALOG)
    model = load_model(tmp_path / "model.safetensors")
    assert list(model.layers) == ["hidden", "late", "second", "out"]
    assert model.input.shape == (2, 4, 4)
    assert model.input.names == model.layers["out"].names
    assert model.trained_on == "moving stripes"
    assert model.metrics["seed"] == 5
    assert 0 <= model.metrics["validation_accuracy"] <= 1
    assert set(model.metrics["spikes_per_neuron_and_tick"]) == {"hidden", "second"}
    assert "validation_accuracy" in capsys.readouterr().out
    report = compare(recipe, [], CATALOG)
    assert report.episodes == 8
    assert report.equal
    assert len(list((tmp_path / "run" / "tensorboard").glob("events*"))) == 1
    assert (tmp_path / "run" / "report.png").read_bytes().startswith(b"\x89PNG")


def test_equal_seeds_give_equal_models_and_others_do_not(recipe, tmp_path):
    files = []
    for seed in (5, 5, 6):
        train(recipe, ["training.epochs=1", f"training.seed={seed}"], False, CATALOG)
        files.append(load_model(tmp_path / "model.safetensors").layers["hidden"].weight.tobytes())
    assert files[0] == files[1] != files[2]


def test_everything_wrong_with_a_recipe_is_said_at_once_with_its_line(recipe):
    wrong = RECIPE.replace("epochs: 3", "epoch: 3").replace("units: 12", "units: none").replace("crop_pool", "crop_poll")
    recipe.write_text(wrong)
    with pytest.raises(ConfigErrors) as error:
        read_recipe(recipe, [], CATALOG)
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert "recipe.yaml:5: " in lines[0]
    assert "crop_pool" in lines[0]
    assert "recipe.yaml:10: " in lines[1]
    assert "recipe.yaml:14: " in lines[2]
    assert "did you mean 'epochs'?" in lines[2]


def test_episodes_of_one_class_are_nothing_to_learn_from(recipe):
    with pytest.raises(ValueError, match="at least two classes"):
        prepared(recipe, "train.motions=[right]")


def test_early_decisions_are_those_before_each_samples_own_end():
    scores = torch.arange(24.0).reshape(6, 2, 2)
    outcome = Outcome(scores, torch.tensor([6, 3]), {}, {})
    found, labels, ticks = early(outcome, torch.tensor([7, 8]), 2)
    assert ticks.tolist() == [2, 2, 4]
    assert labels.tolist() == [7, 8, 7]  # after 2 ticks both, after 4 the longer one, its end at 6 is no early decision
    assert found.tolist() == [scores[1, 0].tolist(), scores[1, 1].tolist(), scores[3, 0].tolist()]


def test_samples_shorter_than_the_time_between_decisions_have_no_early_ones():
    found, labels, _ = early(Outcome(torch.zeros(6, 2, 2), torch.tensor([6, 3]), {}, {}), torch.tensor([7, 8]), 50)
    assert (found.shape, labels.shape) == ((0, 2), (0,))


@pytest.mark.parametrize("name", ["motion", "nmnist"])
def test_a_shipped_model_is_what_its_recipe_says_small_and_sparse(name):
    options = read_recipe(CONFIGS / "train" / f"{name}.yaml", [], CATALOG)
    path = CONFIGS / "models" / f"{name}.safetensors"
    model = load_model(path)
    assert path == Path(os.path.normpath(options.export.path))
    assert path.stat().st_size < 1_500_000
    assert list(model.layers) == [layer.name for layer in options.model.layers]
    assert model.input.shape == options.operators[0].to
    assert (model.trained_on, model.metrics["seed"]) == (options.export.trained_on, options.training.seed)
    assert model.metrics["validation_accuracy"] >= 0.95
    assert all(rate < 0.15 for rate in model.metrics["spikes_per_neuron_and_tick"].values())
    assert (model.layers["hidden_delay"].delay_us > 0).sum() > 50
