"""The shipped network of 1-bit weights and its pipeline, on real pictures of clothes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import spikeline
from pipeline.model_file import load_model
from tests.real_data import DATA, needs_data

CONFIGS = Path(__file__).parents[1] / "configs"
MODEL = CONFIGS / "models/fashion_1bit.safetensors"
PICTURES = "images/fashion-mnist/t10k-images-idx3-ubyte.gz"


def test_inner_convolutions_are_a_bit_a_weight_in_the_file():
    layers = load_model(MODEL).layers
    units = [layers[f"unit{number}"] for number in (1, 2, 3)]
    assert [unit.bits for unit in units] == [1, 1, 1]
    assert [unit.packed.nbytes * 8 for unit in units] == [16 * 16 * 9, 32 * 32 * 9, 32 * 32 * 9]
    assert MODEL.stat().st_size < 120_000


@needs_data(PICTURES)
def test_pictures_that_it_was_not_trained_on_are_told():
    settings = ["source.limit=150", "sinks=[{type: score}]", "stages.checkpoint_every_s=null"]
    summary = spikeline.run(spikeline.load(CONFIGS / "fashion_1bit.yaml", settings), inline=True)
    assert summary["accuracy"] >= 0.8


@needs_data(PICTURES)
def test_the_pipeline_decides_as_the_network_of_the_trainer_does_spike_for_spike():
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'spikeline[train]'")
    from operators.hold import HoldConfig
    from pipeline.chain import Chain
    from sources.images import ImagesConfig
    from trainer.data import episodes, nodes
    from trainer.parity import check

    torch.set_num_threads(1)
    found, format = episodes(ImagesConfig(path=DATA / PICTURES, presentation_ms=4, threshold=0.002, shuffle=True, limit=20))
    chain = Chain(nodes([HoldConfig(tick_ms=1)], format)[0])
    report = check(load_model(MODEL), [chain.push(episode) for episode in found])
    assert report.equal, str(report)
    assert not report.decided_otherwise
    assert all(count > 1000 for count in report.spikes.values())


@needs_data(PICTURES)
def test_the_pipeline_of_residuals_gives_the_scores_of_the_network():
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'spikeline[train]'")
    from pipeline.chain import Chain
    from pipeline.packet import decisions
    from trainer.data import episodes
    from trainer.network import Network
    from trainer.parity import binned

    graph = spikeline.load(CONFIGS / "fashion_1bit.yaml", ["source.limit=20"])
    found, _ = episodes(graph.source)
    own = [(node.config, node.upstream) for node in graph.operators]
    model = load_model(MODEL)
    network = Network(model.layers, 1000).eval()
    hold = Chain(own[:1])
    for episode in found:
        x = binned(hold.push(episode), 1000, 784)
        with torch.no_grad():
            scores = network(x, torch.tensor([4])).final()[0].double() / network.readout.temperature
        last = list(decisions(Chain(own).push(episode), graph.format))[-1]
        assert last.scores == pytest.approx(np.asarray(torch.softmax(scores, 0)), abs=1e-4)
