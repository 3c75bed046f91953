"""The shipped model of spoken digits and its pipelines, on real recordings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

import spikeline
from pipeline.chain import Chain
from pipeline.model_file import load_model
from pipeline.packet import Format, Packet, decisions
from sources.sound_dataset import SoundDatasetConfig
from sources.sound_files import read_sound, stamps_us
from spikeline.catalog import OPERATORS

CONFIGS = Path(__file__).parents[1] / "configs"
MODEL, COCHLEA = CONFIGS / "models/spoken_digit.safetensors", CONFIGS / "models/spoken_digit_cochlea.safetensors"
DIGITS = tuple("0123456789")


def recordings() -> Path:
    pytest.importorskip("soundfile", reason="needs soundfile: pip install 'spikeline[audio]'")
    pytest.importorskip("soxr", reason="needs soxr: pip install 'spikeline[audio]'")
    folder = Path(os.environ.get("SPIKELINE_DATA", "")) / "fsdd"
    if not os.environ.get("SPIKELINE_DATA") or not folder.is_dir():
        pytest.skip("set SPIKELINE_DATA to a folder that holds fsdd/*.wav (Free Spoken Digit Dataset)")
    return folder


def operators_of(name):
    """The operators of a shipped pipeline."""
    found = YAML(typ="safe").load((CONFIGS / name).read_text())["operators"]
    options = [{key: CONFIGS / value if key == "model" else value for key, value in operator.items()} for operator in found]
    return [OPERATORS[operator["type"]].model_validate(operator) for operator in options]


def test_the_models_are_small_and_know_ten_digits_and_silence():
    model, cochlea = load_model(MODEL), load_model(COCHLEA)
    assert MODEL.stat().st_size < 1_000_000
    assert COCHLEA.stat().st_size < 1_000_000
    for layers in (model.layers, cochlea.layers):
        assert next(reversed(layers.values())).names == (*DIGITS, "silence")
    assert (model.input.shape, cochlea.input.shape) == ((13, 2, 40), (7, 1, 50))


@pytest.mark.parametrize(("config", "limit", "least"), [
    ("spoken_digit_file.yaml", 40, 0.95), ("spoken_digit_cochlea_file.yaml", 10, 0.8),
])  # fmt: skip
def test_recordings_that_they_were_not_trained_on_are_told_from_their_sound(config, limit, least):
    recordings()
    settings = [f"source.limit={limit}", "sinks=[{type: score}]", "stages.checkpoint_every_s=null"]
    summary = spikeline.run(spikeline.load(CONFIGS / config, settings), inline=True)
    assert summary["accuracy"] >= least


def test_words_in_an_endless_sound_are_told_and_noise_between_them_is_not():
    folder, rng = recordings(), np.random.default_rng(1)
    nodes, format = chain_of(operators_of("spoken_digit.yaml"), Format("graded", (1,), rate_hz=16_000.0))
    sound = rng.normal(size=10 * 16_000) * 1e-3  # -60 dB
    for second, digit in ((4, 7), (6, 2), (8, 6)):
        word = np.concatenate(list(read_sound(folder / f"{digit}_jackson_0.wav", 16_000.0)))
        sound[second * 16_000 : second * 16_000 + word.size] += word
    t_us = stamps_us(np.arange(sound.size + 1), 16_000.0)
    packet = Packet(0, int(t_us[-1]), t_us[:-1], np.zeros(sound.size, np.uint32), sound.astype(np.float32))
    told = [d for d in decisions(Chain(nodes).push(packet), format) if d.confidence >= 0.75 and d.name != "silence"]
    assert {second: {d.name for d in told if second <= d.t_us / 1e6 < second + 1.5} for second in (4, 6, 8)} == {
        4: {"7"}, 6: {"2"}, 8: {"6"}}  # fmt: skip
    assert all(d.t_us > 4e6 for d in told)


@pytest.mark.parametrize("config", ["spoken_digit_file.yaml", "spoken_digit_cochlea_file.yaml"])
def test_the_shipped_models_agree_spike_for_spike(config):
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'spikeline[train]'")
    from trainer.data import episodes
    from trainer.parity import check

    torch.set_num_threads(1)
    operators = operators_of(config)
    rate_hz = YAML(typ="safe").load((CONFIGS / config).read_text())["source"].get("rate_hz", 48_000)
    source = SoundDatasetConfig(path=recordings(), files=("*_theo_0.wav",), shuffle=True, limit=3, rate_hz=rate_hz)
    found, format = episodes(source)
    front = [operator for operator in operators if not hasattr(operator, "model")]
    chain = Chain(chain_of(front, format)[0])
    model = load_model(operators[len(front)].model)
    report = check(model, [chain.push(episode) for episode in found])
    assert report.equal, str(report)
    assert not report.decided_otherwise
    assert all(count > 0 for count in report.spikes.values())


def chain_of(operators, format):
    """What Chain takes, and what comes out."""
    nodes = []
    for operator in operators:
        nodes.append((operator, format))
        format = operator.check(format)
    return nodes, format
