"""What every benchmark prints and writes: the machine, the versions, its rows, and a JSON file of the same."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with `--json FILE`, which every benchmark takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    return parser


def machine() -> Row:
    """The processor, its cores, the system and the versions that matter."""
    names = (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name"))
    cpu = next(names, platform.machine())
    packages = ("numpy", "numba", "pyzmq")
    return {"cpu": cpu, "cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version(),
            "load": [round(x, 2) for x in os.getloadavg()]} | {name: version(name) for name in packages}


def data_folder() -> Path:
    """The folder of real recordings: SPIKELINE_DATA, by default data/ of the checkout."""
    folder = Path(os.environ.get("SPIKELINE_DATA", Path(__file__).parents[1] / "data")).absolute()
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such folder; set SPIKELINE_DATA to the folder with nmnist/ and recordings/")
    return folder


def median_s(work: Callable[[], object], repeats: int = 5) -> float:
    """Median wall-clock seconds of `work`, after one run to warm up."""
    work()
    times = []
    for _ in range(repeats):
        begin_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin_s)
    return statistics.median(times)


def publish(title: str, rows: Sequence[Row], json_path: Path | None) -> None:
    """Print the machine and the rows as a table, and write both to `json_path` if given."""
    here = machine()
    print(title)
    print(", ".join(f"{key} {value}" for key, value in here.items()))
    print()
    columns = list(dict.fromkeys(key for row in rows for key in row if not isinstance(row[key], dict)))
    cells = [[_text(row.get(key)) for key in columns] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(columns, *cells, strict=True)]
    for line in [columns, *cells]:
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps({"benchmark": title, "machine": here, "rows": list(rows)}, indent=1) + "\n")


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
