"""How much time a random network saves: features, readout and total beside a surrogate-gradient network of the same shape.

    python -m benchmarks.ransnn [--images 1000 3000 20000] [--set mnist] [--most-seconds 600] [--seed 1]

Both are 784-2000-10 with 25 ticks, on the same data, in one process. The random network sees so many training images once, for
each number of `--images`, and learns its readout in closed form; with the most images also by 400 steps of Adam on the cached
features as in the paper. The other one is trained through all layers (Adam, batches of 128 out of 50,000 images) until it is as
accurate on held-out images as the best of them, or `--most-seconds` have passed: then `as_accurate` is False and the ratios are
what they are at least. Evaluation does not count.
Times are of the processor, all threads together, so that others on the machine change them little.
Checked in the same run: the features of 20 images are those that the pipeline's operators count.
"""

from __future__ import annotations

import argparse
import dataclasses
import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when the libraries below are imported

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.report import Row, data_folder, publish
from operators import random_lif
from operators.batch_lif import as_episodes
from operators.bernoulli import BernoulliConfig
from pipeline.layer_spec import LIFSpec, RandomLIFSpec, ReadoutSpec
from pipeline.packet import Format, Packet, join
from sources.images import read_idx
from trainer.linear_readout import LeastSquares, Linear, descend
from trainer.network import Network
from trainer.random_features import Features

TICKS, HIDDEN, BATCH, EVERY = 25, 2000, 128, 25
TAU_MS = -1 / np.log(0.95)
FORMAT = Format("graded", (28, 28), names=tuple("0123456789"))
LAYER = RandomLIFSpec((28, 28), HIDDEN, 1, "normal", 0.05, centred=True, fields=(10,), tau_ms=TAU_MS, tick_us=1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 3000, 20_000], help="images of the random network")
    parser.add_argument("--set", default="mnist", help="mnist or fashion-mnist")
    parser.add_argument("--held", type=int, default=2000, help="images that tell how accurate a network is")
    parser.add_argument("--most-seconds", type=float, default=600, help="for the surrogate-gradient network")
    parser.add_argument("--seed", type=int, default=1, help="of the order of images, the random network and both trainings")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = data_folder() / "images" / options.set
    images, labels = (read_idx(folder / f"train-{name}-ubyte.gz", d) for name, d in (("images-idx3", 3), ("labels-idx1", 1)))
    order = np.random.default_rng(options.seed).permutation(len(labels))
    images, labels = images[order].reshape(-1, 784), labels[order].astype(np.int64)
    held = slice(50_000, 50_000 + options.held)
    rows = random_network(images, labels, sorted(options.images), held, options.threads, options.seed)
    course = surrogate(images, labels, held, max(row["accuracy"] for row in rows), options.most_seconds, options.seed)
    for own in list(rows):
        row: Row = dict(next((point for point in course if point["accuracy"] >= own["accuracy"]), course[-1]))
        reached = row["accuracy"] >= own["accuracy"]
        beside = f"{own['network']}, {own['images']}"
        rows.append(row | {"network": "surrogate gradients", "beside": beside, "as_accurate": reached,
                           "readout_ratio": row["total_s"] / own["readout_s"], "total_ratio": row["total_s"] / own["total_s"]})
    publish(f"random features beside surrogate gradients, {options.set}, {TICKS} ticks, 784-{HIDDEN}-10", rows, options.json)


def random_network(images: np.ndarray, labels: np.ndarray, sizes: list[int], held: slice, threads: int, seed: int) -> list[Row]:
    """What each readout took, and what it reaches on the held-out images."""
    features = Features([BernoulliConfig()], FORMAT, 1000, True, threads=threads)
    layer = dataclasses.replace(LAYER, seed=seed)
    features.add_layer("hidden", layer)
    own, kept = packets(images[: sizes[-1]], labels[: sizes[-1]]), packets(images[held], labels[held])
    check(features, layer, own[:20])
    tested = features.all(kept)
    found: list[np.ndarray] = []
    features_s, begin = 0.0, 0
    rows: list[Row] = []

    def tell(name: str, learn: Callable[[], Linear]) -> None:
        readout_s, linear = timed(learn)
        accuracy = float((linear.scores(tested).argmax(1).numpy() == labels[held]).mean())
        rows.append({"network": name, "images": begin, "accuracy": accuracy, "features_s": features_s, "readout_s": readout_s,
                     "total_s": features_s + readout_s})

    for size in sizes:
        spent, counts = timed(lambda: features.all(own[begin:size]))  # noqa: B023 - it runs at once
        features_s, begin = features_s + spent, size
        found.append(counts)
        tell("random, ridge", lambda: ridge(np.concatenate(found), labels[:size]))  # noqa: B023
    tell("random, Adam 400", lambda: adam(np.concatenate(found), labels[: sizes[-1]], seed))
    return rows


def ridge(counts: np.ndarray, labels: np.ndarray) -> Linear:
    squares = LeastSquares(HIDDEN, 10)
    squares.add(counts, labels)
    return squares.solve(1e-2 if len(labels) < 2 * HIDDEN else 1e-3)


def adam(counts: np.ndarray, labels: np.ndarray, seed: int) -> Linear:
    picked = np.random.default_rng(seed + 1).integers(0, len(labels), (400, BATCH))
    return descend(((counts[p], labels[p]) for p in picked), HIDDEN, 10, 5e-4, seed)[-1]


def surrogate(images: np.ndarray, labels: np.ndarray, held: slice, goal: float, most_s: float, seed: int) -> list[Row]:
    """Trains until as accurate as `goal`; how accurate it was every 25 steps."""
    rng, generator = np.random.default_rng(seed + 2), torch.Generator().manual_seed(seed + 2)
    hidden = LIFSpec(rng.normal(0, 0.05, (784, HIDDEN)), np.array(TAU_MS), np.array(1.0), 1000)
    out = ReadoutSpec("spike_count", FORMAT.names, rng.normal(0, 0.01, (HIDDEN, 10)))
    network = Network({"hidden": hidden, "out": out}, 1000)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    reached, seconds, step, ticks = 0.0, 0.0, 0, torch.full((BATCH,), TICKS)
    course: list[Row] = []

    def shown(picked: np.ndarray | slice) -> torch.Tensor:
        probability = torch.from_numpy(images[picked]).float() / 255
        return (torch.rand(TICKS, *probability.shape, generator=generator) < probability).float()

    def train() -> None:
        picked = rng.integers(0, 50_000, BATCH)
        scores = network(shown(picked), ticks).final()
        optimizer.zero_grad()
        F.cross_entropy(scores, torch.from_numpy(labels[picked])).backward()
        optimizer.step()

    while reached < goal and seconds < most_s:
        for _ in range(EVERY):
            spent, _ = timed(train)
            seconds, step = seconds + spent, step + 1
        with torch.no_grad():
            right = 0
            for at in range(held.start, held.stop, 500):
                part = slice(at, min(at + 500, held.stop))
                outcome = network(shown(part), torch.full((part.stop - at,), TICKS))
                right += int((outcome.final().argmax(1).numpy() == labels[part]).sum())
        reached = right / (held.stop - held.start)
        course.append({"images": step * BATCH, "accuracy": reached, "total_s": seconds, "steps": step})
        print(f"step {step}: {reached:.4f}, {seconds:.0f} s", file=sys.stderr, flush=True)
    return course


def packets(images: np.ndarray, labels: np.ndarray, ticks: int = TICKS) -> list[Packet]:
    found = []
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        unit = np.flatnonzero(image).astype(np.uint32)
        value = image[unit].astype(np.float32) / np.float32(255)
        found.append(Packet(0, ticks * 1000, np.zeros(unit.size, np.int64), unit, value, number, True, int(label)))
    return found


def check(features: Features, layer: RandomLIFSpec, few: list[Packet]) -> None:
    """The counts are those of the operators that a pipeline runs."""
    encode, fire = BernoulliConfig().prepare(FORMAT), random_lif.make(layer, features.format)
    for packet, counted in zip(few, features.all(few), strict=True):
        encoder, neurons = encode(None), fire(None)
        spikes = join(encoder.process(packet), encoder.finish())
        out = as_episodes([join(neurons.process(spikes), neurons.finish())], 1000)
        assert (out.counts(HIDDEN)[0] == counted).all(), "features differ from what the pipeline's operators count"


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


if __name__ == "__main__":
    main()
