"""What a random network depends on: leak, width, ticks and the law of its weights, one at a time. Writes a table and a picture.

    python -m benchmarks.ransnn_ablations [--set mnist] [--steps 100] [--ridge 2000] [--only mean] [--at 0.01] [--out runs/ransnn]

The network is the two-layer one of the paper's figures (784-N-N, counts of the second layer, readout by steps of Adam on batches
of 128), drawn and trained anew at every point; the rest stays as it is: N = 2000, 25 ticks, weights U(-1, 1) / sqrt(inputs) and a
bias of that size, 0.95 of a membrane kept over a tick. Accuracy is that of test images. With --ridge N the readout is learnt in
closed form on N images instead, which says the same at a fraction of the time.
"""

from __future__ import annotations

import argparse
import json
import math
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when the libraries below are imported

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ransnn import FORMAT, packets
from benchmarks.report import data_folder
from operators.bernoulli import BernoulliConfig
from pipeline.layer_spec import RandomLIFSpec
from sources.images import read_idx
from trainer.linear_readout import LeastSquares, descend
from trainer.random_features import Features

UNITS, TICKS, BATCH = 2000, 25, 128
PENALTY = 0.01  # of ridge, in variances of a feature
USUAL: dict[str, Any] = {"units": UNITS, "ticks": TICKS, "keep": 0.95, "draw": "uniform", "scale": None, "mean": 0.0}
SWEEPS: dict[str, list[dict[str, Any]]] = {
    "leak": [{"keep": keep} for keep in (0.80, 0.85, 0.90, 0.95, 1.0)],
    "width": [{"units": units} for units in (200, 500, 1000, 2000)],
    "ticks": [{"ticks": ticks} for ticks in (15, 20, 25)],
    "laws": [{"draw": "normal", "scale": scale} for scale in (0.01, 0.02, 0.03, 0.05)]
    + [{"draw": "uniform", "scale": scale} for scale in (0.02, 0.04, 0.09)] + [{"draw": "sign", "scale": 0.02}],
    "mean": [{"draw": "normal", "scale": 0.02, "mean": mean} for mean in (-0.01, -0.005, 0.0, 0.005, 0.01)],
}
VARIED = {"leak": "keep", "width": "units", "ticks": "ticks", "laws": "scale", "mean": "mean"}  # by sweep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="mnist", help="mnist or fashion-mnist")
    parser.add_argument("--steps", type=int, default=100, help="the paper has 400")
    parser.add_argument("--ridge", type=int, default=0, metavar="N", help="images for a readout in closed form; 0: Adam")
    parser.add_argument("--tests", type=int, default=2000, help="the paper has 6400")
    parser.add_argument("--only", nargs="+", choices=SWEEPS, default=list(SWEEPS))
    parser.add_argument("--at", nargs="+", type=float, help="only points whose varied number is one of these")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/ransnn"))
    options = parser.parse_args()
    folder = data_folder() / "images" / options.set
    data = [read_idx(folder / f"{part}-{name}-ubyte.gz", d) for part in ("train", "t10k") for name, d in
            (("images-idx3", 3), ("labels-idx1", 1))]
    rows = []
    for sweep in options.only:
        for change in SWEEPS[sweep]:
            if options.at and change[VARIED[sweep]] not in options.at:
                continue
            reached = accuracy(USUAL | change, data, options)
            rows.append({"sweep": sweep, **change, "accuracy": round(100 * reached, 2)})
            print(rows[-1], file=sys.stderr, flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.out / f"ablations_{options.set}"
    how = f"ridge on {options.ridge} images" if options.ridge else f"{options.steps} steps of {BATCH}"
    about = f"{options.set}, {how}, {options.tests} test images, seed {options.seed}"
    stem.with_suffix(".json").write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
    stem.with_suffix(".md").write_text(table(rows, about))
    draw(rows, about, stem.with_suffix(".png"))
    print(table(rows, about))


def accuracy(point: dict[str, Any], data: list[np.ndarray], options: argparse.Namespace) -> float:
    """The share of test images that a network as `point` says classifies right."""
    images, labels, test_images, test_labels = data
    steps, tests, seed = options.steps, options.tests, options.seed
    features = Features([BernoulliConfig()], FORMAT, 1000, True, seed=seed)
    tau_ms = math.inf if point["keep"] == 1 else -1 / math.log(point["keep"])
    shape: tuple[int, ...] = (28, 28)
    for name in ("first", "second"):
        own = 1 / math.sqrt(math.prod(shape))
        scale, bias = (own, own) if point["scale"] is None else (point["scale"], 0.0)
        spec = RandomLIFSpec(shape, point["units"], seed + len(shape), point["draw"], scale, point["mean"], bias=bias,
                             tau_ms=tau_ms, tick_us=1000)
        features.add_layer(name, spec)
        shape = (point["units"],)
    order = np.random.default_rng(seed).permutation(len(labels))

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for step in range(steps):
            picked = np.take(order, np.arange(step * BATCH, (step + 1) * BATCH), mode="wrap")
            yield features.all(packets(images[picked].reshape(-1, 784), labels[picked], point["ticks"]), step), labels[picked]

    if options.ridge:
        picked, squares = order[: options.ridge], LeastSquares(point["units"], 10)
        shown_once = packets(images[picked].reshape(-1, 784), labels[picked], point["ticks"])
        squares.add(features.all(shown_once, 0), labels[picked])
        linear = squares.solve(PENALTY)
    else:
        linear = descend(batches(), point["units"], 10, 5e-4, seed)[-1]
    shown = packets(test_images[:tests].reshape(-1, 784), test_labels[:tests], point["ticks"])
    return float((linear.scores(features.all(shown)).argmax(1).numpy() == test_labels[:tests]).mean())


def table(rows: list[dict[str, Any]], about: str) -> str:
    lines = [f"{about}\n", "| varied | accuracy, % |", "|---|---|"]
    for row in rows:
        point = ", ".join(f"{key} {value}" for key, value in row.items() if key not in ("sweep", "accuracy"))
        lines.append(f"| {point} | {row['accuracy']:.2f} |")
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]], about: str, path: Path) -> None:
    """One panel a sweep."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sweeps = list(dict.fromkeys(row["sweep"] for row in rows))
    figure, panels = pyplot.subplots(1, len(sweeps), figsize=(3.2 * len(sweeps), 3), squeeze=False, sharey=True)
    for sweep, panel in zip(sweeps, panels[0], strict=True):
        own = [row for row in rows if row["sweep"] == sweep]
        varied = VARIED[sweep]
        for law in dict.fromkeys(row.get("draw") for row in own):
            line = [row for row in own if row.get("draw") == law]
            panel.plot([row[varied] for row in line], [row["accuracy"] for row in line], "o-", label=law)
        panel.set(title=sweep, xlabel=varied, ylim=(0, 100))
        if sweep == "laws":
            panel.legend()
    panels[0][0].set_ylabel("accuracy, %")
    figure.suptitle(about, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
