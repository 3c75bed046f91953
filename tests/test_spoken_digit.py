"""The shipped model of spoken digits and its pipelines, on real recordings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import spikeline
from pipeline.model_file import load_model

CONFIGS = Path(__file__).parents[1] / "configs"
MODEL = CONFIGS / "models/spoken_digit.safetensors"
DIGITS = tuple("0123456789")


def recordings() -> Path:
    pytest.importorskip("soundfile", reason="needs soundfile: pip install 'spikeline[audio]'")
    pytest.importorskip("soxr", reason="needs soxr: pip install 'spikeline[audio]'")
    folder = Path(os.environ.get("SPIKELINE_DATA", "")) / "fsdd"
    if not os.environ.get("SPIKELINE_DATA") or not folder.is_dir():
        pytest.skip("set SPIKELINE_DATA to a folder that holds fsdd/*.wav (Free Spoken Digit Dataset)")
    return folder


def test_the_model_is_small_and_knows_ten_digits():
    model = load_model(MODEL)
    assert MODEL.stat().st_size < 1_000_000
    assert next(reversed(model.layers.values())).names == DIGITS
    assert model.input.shape == (140,)


def test_recordings_that_it_was_not_trained_on_are_told_from_their_sound():
    recordings()
    settings = ["source.limit=10", "sinks=[{type: score}]", "stages.checkpoint_every_s=null"]
    summary = spikeline.run(spikeline.load(CONFIGS / "spoken_digit_file.yaml", settings), inline=True)
    assert summary["accuracy"] >= 0.8


def test_the_shipped_model_agrees_spike_for_spike():
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'spikeline[train]'")
    from operators.cochlea import CochleaConfig
    from operators.crop_pool import CropPoolConfig
    from pipeline.chain import Chain
    from sources.sound_dataset import SoundDatasetConfig
    from trainer.data import episodes, nodes
    from trainer.parity import check

    torch.set_num_threads(1)
    found, format = episodes(SoundDatasetConfig(path=recordings(), files=("*_theo_0.wav",), shuffle=True, limit=3))
    chain = Chain(nodes([CochleaConfig(mode="causal"), CropPoolConfig(to=(140,))], format)[0])
    report = check(load_model(MODEL), [chain.push(episode) for episode in found])
    assert report.equal, str(report)
    assert not report.decided_otherwise
    assert all(count > 0 for count in report.spikes.values())
