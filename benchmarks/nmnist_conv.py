"""The net 12C5-MP2-32C5-MP2-10 on N-MNIST, 50 ticks a sample, maxima between convolutions and neurons: time and classes.

The events of each recording go through two conv_lif layers and a readout as they are; torch runs the same trained net densely on
the events binned to ticks. `ms`: one sample, one thread, median over all samples; `equal`: both give every sample the same
class. The net is trained by this script (a few minutes) into a model file below build/ unless one is there.

python -m benchmarks.nmnist_conv [--epochs 6] [--json FILE]      needs nmnist/ in the folder SPIKELINE_DATA, and the extra `train`
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # read when the libraries below are imported

import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import arguments, data_folder, publish
from operators import conv_lif, readout
from pipeline.layer_spec import ConvLIFSpec, LayerSpec, ReadoutSpec
from pipeline.model_file import Model, load_model, save_model
from pipeline.packet import Format, Packet, decisions, join
from sources.dvs_dataset import DvsDatasetConfig
from trainer.data import Sample, cells, collate, episodes
from trainer.layers import build
from trainer.network import Network
from trainer.parity import check

MODEL = Path(__file__).parents[1] / "build" / "nmnist_conv.safetensors"
TICK_US, TICKS, BATCH = 6000, 50, 20
DIGITS = tuple(map(str, range(10)))


def recordings(folder: Path) -> list[Packet]:
    """Every recording from its first event on, cut at 50 ticks."""
    found, _ = episodes(DvsDatasetConfig(path=folder, anchor="first_event", end_ms=TICKS * TICK_US / 1000))
    return found


def untrained(x: torch.Tensor) -> dict[str, LayerSpec]:
    """Weights drawn so that a tick's input to a neuron has a standard deviation of 0.6 thresholds on the batch x."""
    rng, layers = np.random.default_rng(0), dict[str, LayerSpec]()
    shape_in = (2, 34, 34)
    for name, c_out in (("first", 12), ("second", 32)):
        spec = ConvLIFSpec(rng.normal(0, 1, (c_out, shape_in[0], 5, 5)), 15.0, 1.0, shape_in, pool_size=2, tick_us=TICK_US)
        with torch.no_grad():
            size = float(build(spec, TICK_US).current(x).std())  # type: ignore[operator]
            spec = dataclasses.replace(spec, weight=spec.weight * np.float32(0.6 / size))
            x = build(spec, TICK_US)(x)
        layers[name], shape_in = spec, spec.shape_out
    layers["out"] = ReadoutSpec("spike_count", DIGITS, rng.normal(0, 0.01, (int(np.prod(shape_in)), 10)))
    return layers


def train(samples: list[Packet], epochs: int) -> Model:
    rng = np.random.default_rng(1)
    batch = [binned(sample) for sample in samples]
    first = collate(batch[:BATCH], 2 * 34 * 34)
    network = Network(untrained(first.x), TICK_US)
    steps = epochs * (len(batch) // BATCH)
    adam = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for epoch in range(epochs):
        order, right = rng.permutation(len(batch)), 0
        for begin in range(0, len(batch) - BATCH + 1, BATCH):
            some = collate([batch[k] for k in order[begin : begin + BATCH]], 2 * 34 * 34)
            scores = network(some.x, some.ticks).final()
            adam.zero_grad()
            torch.nn.functional.cross_entropy(scores, some.labels).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            adam.step()
            schedule.step()
            right += int((scores.argmax(1) == some.labels).sum())
        print(f"epoch {epoch + 1}: {right} of {len(batch)} training samples right", flush=True)
    return Model(Format("spikes", (2, 34, 34)), network.specs(), "N-MNIST, 900 training samples")


def binned(sample: Packet) -> Sample:
    cell, ticks = cells(sample, TICK_US, 2 * 34 * 34)
    return Sample(ticks, cell.astype(np.int32), None, sample.label)


def through(makers: list[Any], sample: Packet) -> tuple[float, Packet, list[int]]:
    """Seconds, the decisions, and the spikes of each layer."""
    begin_s, packet, spikes = time.perf_counter(), sample, []
    for make in makers:
        operator = make(None)
        packet = join(operator.process(packet), operator.finish())
        spikes.append(packet.n)
    return time.perf_counter() - begin_s, packet, spikes[:-1]


def run(model: Model, samples: list[Packet]) -> dict[str, Any]:
    first, second, out = model.layers.values()
    assert isinstance(first, ConvLIFSpec)
    assert isinstance(second, ConvLIFSpec)
    assert isinstance(out, ReadoutSpec)
    shapes = Format("spikes", first.shape_out, TICK_US), Format("spikes", second.shape_out, TICK_US)
    makers = [conv_lif.make(first, model.input), conv_lif.make(second, shapes[0]), readout.make(out, shapes[1])]
    network = Network(model.layers, TICK_US).eval()
    spent, torch_s, same, right, spikes = [], [], 0, 0, np.zeros(2)
    through(makers, samples[0])
    for sample in samples:
        seconds, packet, found = through(makers, sample)
        batch = collate([binned(sample)], 2 * 34 * 34)
        begin_s = time.perf_counter()
        with torch.inference_mode():
            theirs = int(network(batch.x, batch.ticks).final()[0].argmax())
        torch_s.append(time.perf_counter() - begin_s)
        ours = [decision.index for decision in decisions(packet, Format("decisions", (10,), names=DIGITS))][-1]
        spent.append(seconds)
        spikes += found
        same, right = same + (ours == theirs), right + (ours == sample.label)
    report = check(model, samples[:10])
    return {
        "net": "12C5-MP2-32C5-MP2-10", "ticks": TICKS, "samples": len(samples),
        "events": sum(s.n for s in samples) / len(samples),
        "ms": statistics.median(spent) * 1e3, "p99_ms": float(np.quantile(spent, 0.99)) * 1e3,
        "torch_ms": statistics.median(torch_s) * 1e3, "same_class": same, "right": right, "equal": same == len(samples),
        "spikes": (spikes / len(samples)).tolist(),
        "rates": [n / len(samples) / (layer.n_out * TICKS) for n, layer in zip(spikes.tolist(), (first, second), strict=True)],
        "layers_equal": report.equal, "borderline": len(report.differences),
    }


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--epochs", type=int, default=6, help="passes over the training samples (default 6)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = data_folder() / "nmnist"
    if not MODEL.exists():
        save_model(MODEL, train(recordings(folder / "Train"), options.epochs))
    result = run(load_model(MODEL), recordings(folder / "Test"))
    publish("12C5-MP2-32C5-MP2-10 on N-MNIST: milliseconds a sample", [result], options.json)
    if not (result["equal"] and result["layers_equal"]):
        raise SystemExit("spikeline and torch do not agree")


if __name__ == "__main__":
    main()
