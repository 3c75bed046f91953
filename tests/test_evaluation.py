"""`spikeline evaluate`: probes reach the network, and the early-exit curve is that of its decisions."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import spikeline
from pipeline.layer_spec import DelaySpec, LIFSpec, ReadoutSpec
from pipeline.model_file import Model, save_model
from pipeline.packet import Format
from spikeline.evaluation import early_exit, evaluate
from tests.packets import recording


def coincidence_pipeline(folder: Path) -> Path:
    """A network that knows which two groups fire together: three neurons, each needing both of its groups in one tick."""
    together = np.zeros((60, 3), np.float32)
    for neuron, groups in enumerate(((0, 1), (0, 2), (1, 2))):
        for group in groups:
            together[20 * group : 20 * group + 20, neuron] = 1 / 39
    layers = {"pass": DelaySpec(np.full(60, 2000)), "pairs": LIFSpec(together, np.array(0.0), np.array(1.0), 1000),
              "out": ReadoutSpec("spike_count", ("a and b", "a and c", "b and c"))}
    save_model(folder / "m.safetensors", Model(Format("spikes", (60,)), layers))
    path = folder / "p.yaml"
    path.write_text("source: {type: timing_task, task: coincidence, samples: 30}\noperators:\n"
                    "  - {type: delay, model: m.safetensors, layer: pass}\n"
                    "  - {type: lif, model: m.safetensors, layer: pairs}\n"
                    "  - {type: readout, model: m.safetensors, layer: out, every_ms: 50}\nsinks: [{type: score}]\n")
    return path


def test_a_network_of_coincidences_falls_with_timing_and_not_with_reversal(tmp_path):
    figures = evaluate(spikeline.load(coincidence_pipeline(tmp_path)), bin_ms=1)
    accuracy = {row["case"]: row["accuracy"] for row in figures["cases"]}
    assert accuracy["undisturbed"] == 1.0
    assert accuracy["reverse"] == 1.0
    assert accuracy["without delays"] == 1.0
    assert accuracy["relocate 1"] < 0.6
    assert accuracy["unit_jitter 25 ms"] < 0.6
    assert figures["episodes"] == 30
    last = figures["early_exit"][-1]
    assert (last["accuracy"], last["time_share"]) == (1.0, 1.0)
    assert all(row["time_share"] <= 1.0 for row in figures["early_exit"])


def test_stopping_early_takes_the_first_decision_that_is_confident_enough():
    episodes = [recording(Format("spikes", (4,)), 1)] * 2
    episodes = [replace(episode, label=label) for label, episode in enumerate(episodes)]
    traces = [[(10_000, 1, 0.55), (20_000, 0, 0.9)], [(10_000, 1, 0.97), (20_000, 1, 0.99)]]
    rows = {row["threshold"]: row for row in early_exit(traces, episodes)}
    assert (rows[0.5]["accuracy"], rows[0.5]["time_share"]) == (0.5, 0.5)
    assert (rows[0.8]["accuracy"], rows[0.8]["time_share"]) == (1.0, 0.75)
    assert (rows[1.0]["accuracy"], rows[1.0]["mean_ms"]) == (1.0, 20.0)


def test_the_command_prints_both_tables_and_writes_json(tmp_path):
    path = coincidence_pipeline(tmp_path)
    done = subprocess.run([sys.executable, "-m", "spikeline.cli", "evaluate", str(path), "--bin-ms", "1", "--limit", "9",
                           "--json", str(tmp_path / "e.json")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "undisturbed           1.000" in done.stdout
    assert json.loads((tmp_path / "e.json").read_text())["episodes"] == 9


def test_a_source_without_labels_is_refused(tmp_path):
    path = coincidence_pipeline(tmp_path)
    unlabelled = "{type: memory, shape: [60], end_ms: 9}"
    path.write_text(path.read_text().replace("{type: timing_task, task: coincidence, samples: 30}", unlabelled))
    done = subprocess.run([sys.executable, "-m", "spikeline.cli", "evaluate", str(path)], capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "gives no labelled episode" in done.stderr
