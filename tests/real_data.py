"""Where the real recordings are, and the mark of tests that need them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("SPIKELINE_DATA") or Path(__file__).parent.parent / "data")


def needs_data(*names: str) -> pytest.MarkDecorator:
    """Skips a test unless all these files or folders are in the data folder."""
    missing = [name for name in names if not (DATA / name).exists()]
    reason = f"set SPIKELINE_DATA to the folder of real recordings that holds {' and '.join(names)}"
    return pytest.mark.skipif(bool(missing), reason=reason)
