"""Other projects' tools, to compare with: each runs in an environment of its own, never in that of spikeline."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "build" / "peers"  # which git ignores


def environment(name: str, *packages: str) -> Path | None:
    """The interpreter of an environment that holds `packages`, made at the first call. None: they cannot be had."""
    folder = FOLDER / name
    python, stamp = folder / "bin" / "python", folder / "packages"
    if stamp.is_file() and stamp.read_text() == "\n".join(packages):
        return python
    print(f"making an environment for {name} in {folder}", file=sys.stderr)
    make = [sys.executable, "-m", "venv", "--clear", str(folder)]
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    for command in (make, install):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name} is left out: {(done.stderr.strip() or 'no message').splitlines()[-1]}", file=sys.stderr)
            return None
    stamp.write_text("\n".join(packages))
    return python
