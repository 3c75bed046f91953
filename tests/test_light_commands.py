"""Commands that only look start without the libraries that only work needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("numba", "llvmlite", "torch", "lightning", "pyarrow", "h5py", "matplotlib", "trainer")
RUN = """\
import json, sys
from spikeline.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
print(json.dumps([code, sorted(name for name in sys.modules if "." not in name)]))
"""
PIPELINE = """\
source: {type: dvs_scene, episodes: 1}
operators: [{type: background_activity, window_ms: 5}, {type: crop_pool, to: [2, 16, 16]}, {type: polarity, keep: merge}]
sinks: [{type: zmq_publish}]
"""


@pytest.mark.parametrize("command", ["check", "graph", "list", "describe", "schema", "--version"])
def test_a_command_that_looks_loads_no_heavy_library(command: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(PIPELINE)
    arguments = {"check": ["x.yaml"], "graph": ["x.yaml"], "describe": ["lif"]}.get(command, [])
    done = subprocess.run(
        [sys.executable, "-c", RUN, command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert (code, done.stderr) == (0, "")
    assert [name for name in HEAVY if name in modules] == []


def test_the_public_names_come_when_they_are_asked_for() -> None:
    script = "import spikeline as s, sys; print('numpy' in sys.modules, all(getattr(s, name) for name in s.__all__))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines() == ["False True"]


def test_the_catalog_builds_the_validator_of_no_component_before_it_is_used() -> None:
    script = """
from spikeline.catalog import make_catalog
print(sum(cls.__pydantic_complete__ for _, _, cls in make_catalog(custom=False)))"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["0"]
