"""What networks make of timing alone: the synthetic tasks of "Beyond rate coding", learnt with several seeds, then disturbed.

    python -m benchmarks.timing_tasks [--only isi coincidence "ccisi" "ccisi, no delays" ...] [--seeds 1 2 3] [--json FILE]

Each case is a recipe of configs/train, with changes. A model is trained from each seed, the epoch chosen on validation samples,
and tried on 1000 test samples: as they are, and with a share f of their spikes moved to random places of their unit, which
leaves counts and takes timing away; coincidence: with a share of the common volleys made independent. Chance is 0.5
(coincidence: 0.33).
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when the libraries below are imported

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import Row, publish
from operators.probe import ProbeConfig
from pipeline.model_file import Model
from spikeline.catalog import make_catalog
from trainer import surrogate
from trainer.data import Batches, labelled
from trainer.network import Network
from trainer.recipe import Recipe, Training, read_recipe

RECIPES = Path(__file__).parent.parent / "configs" / "train"
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
CONTROL = "model.layers.0={type: lif, name: hidden, units: 192, tau_ms: 10, reset: to_zero}"
SLOW = "model.layers.0.tau_ms=50"  # where time constants begin that are learnt
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "isi": ("isi.yaml", ()),
    "coincidence": ("coincidence.yaml", ()),
    "ccisi": ("cross_channel_isi.yaml", ()),
    "ccisi, no delays": ("cross_channel_isi.yaml", (CONTROL,)),
    "ccisi, taus learnt": ("cross_channel_isi.yaml", (SLOW, "model.layers.0.learn=[delay, tau]")),
    "ccisi, no delays, taus learnt": ("cross_channel_isi.yaml", (CONTROL, SLOW, "model.layers.0.learn=[tau]")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--longest-ms", type=int, default=300, help="longest interval of ccisi")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="of every recipe")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.only:
        file, changes = CASES[name]
        overrides = [*changes, *options.overrides]
        if file == "cross_channel_isi.yaml":
            overrides += [f"{part}.max_interval_ms={options.longest_ms}" for part in ("train", "validation", "test")]
            overrides += [f"model.layers.0.max_ms={options.longest_ms}"] * ("no delays" not in name)
        reached = [learnt(RECIPES / file, overrides, seed) for seed in options.seeds]
        row: Row = {"case": name, "seeds": options.seeds, "seconds": [round(one.pop("seconds")) for one in reached]}
        for share in reached[0]:
            own = [100 * one[share] for one in reached]
            row[share] = [round(value, 2) for value in own]
            row[f"{share} mean"] = round(statistics.mean(own), 2)
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    publish(f"timing tasks, ccisi to {options.longest_ms} ms", rows, options.json)


def learnt(path: Path, overrides: list[str], seed: int) -> dict[str, float]:
    """Train with a seed: accuracy on the test samples by how much of their timing is left, and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        own = [*overrides, f"training.seed={seed}", f"export.folder={folder}"]
        recipe = read_recipe(path, own, make_catalog(custom=False))
        assert isinstance(recipe.training, Training)
        began = time.perf_counter()
        model = surrogate.train(recipe, recipe.training, resume=False)
        found = {"seconds": time.perf_counter() - began, "f 0": float(model.metrics["test_accuracy"])}
    for share in SHARES:
        found[f"f {share:g}"] = accuracy(recipe, model, share)
    print(f"{path.stem} seed {seed}: {found}", file=sys.stderr, flush=True)
    return found


@torch.no_grad()
def accuracy(recipe: Recipe, model: Model, share: float) -> float:
    """On the recipe's test samples, when `share` of what tells the class is gone."""
    assert recipe.test is not None
    source: Any = recipe.test
    coincidence = source.task == "coincidence"
    if coincidence:
        source = source.model_copy(update={"overlap": share})
    probe = [] if coincidence else [ProbeConfig(how="relocate", share=share)]
    episodes, format = labelled(source, "test")
    network = Network(model.layers, recipe.model.tick_us).eval()
    right = 0
    for batch in Batches(episodes, [*probe, *recipe.operators], format, recipe.model.tick_us, 100):
        right += int((network(batch.x, batch.ticks).final().argmax(1) == batch.labels).sum())
    return right / len(episodes)


if __name__ == "__main__":
    main()
