"""The worked example of docs/adding_an_operator.md does what the page says: its files are written out and run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def files(tmp_path: Path) -> Path:
    page = (ROOT / "docs/adding_an_operator.md").read_text()
    for name, content in re.findall(r"```\w+ title=(\S+)\n(.*?)```", page, re.DOTALL):
        (tmp_path / name).write_text(content)
    return tmp_path


def test_operator_of_the_page_keeps_the_contract(files: Path) -> None:
    path = f"import sys; sys.path[:0] = [{str(files)!r}, {str(ROOT)!r}]; import pytest; "
    code = path + f"sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-c', {str(files / 'pytest.ini')!r}, {str(files)!r}]))"
    (files / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pipeline_of_the_page_runs(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import spikeline

    monkeypatch.syspath_prepend(str(files))
    summary = spikeline.run(files / "pipeline.yaml", inline=True)
    figures = {stage["name"]: stage for stage in summary["stages"]}
    assert figures["operators"]["events_in"] == 5
    assert figures["operators"]["events_out"] == 2
