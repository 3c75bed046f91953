"""Damaged recordings of every format: thousands of files here, a million inputs for each kernel with `make check-slow`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sources.formats import FORMATS
from tests.fuzz_recordings import fuzz, originals, survives

ROOT = Path(__file__).parents[1]
BY_LIBRARIES = ("hdf5", "parquet", "arrow", "npz", "mat", "shd", "bag", "db3", "mcap")  # whose files take long to open


def test_every_format_has_a_file_to_be_damaged(tmp_path):
    from sources.recordings import open_recording

    found = set()
    for name, content in originals(tmp_path).items():
        if name.split()[0] not in ("idx", "shd"):
            path = tmp_path / {"bag": "b.bag", "db3": "b.db3", "mcap": "b.mcap"}.get(name, "recording.aedat")
            path.write_bytes(content)
            assert survives(path), name
            found.add(open_recording(path).header.format)
    assert {row.name for row in FORMATS} - found <= {"rosbag"}


def test_damaged_files_are_read_as_far_as_they_can_be_or_refused(tmp_path):
    for name in originals(tmp_path):
        files, read = fuzz(12 if name.startswith(BY_LIBRARIES) else 80, [name])[name]
        assert 0 <= read < files


@pytest.mark.slow
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize(("module", "inputs"), [("tests.fuzz_kernels", 1_000_000), ("tests.fuzz_recordings", 20_000)])
def test_compiled_decoders_with_checked_indices_survive_damage(module, inputs):
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(ROOT / "build" / "checked")}
    subprocess.run([sys.executable, "-m", module, str(inputs)], env=os.environ | checked, cwd=ROOT, check=True)
