"""What sinks that write files share: folders that are made, and what is said when a path cannot be written."""

from __future__ import annotations

from pathlib import Path


def make_folder(sink: str, path: Path) -> None:
    """Make the folder that a file will stand in."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(sink, path, error) from None


def unwritable(sink: str, path: Path, error: OSError) -> OSError:
    return OSError(error.errno, f"{sink}: cannot write {path}: {error.strerror}; choose another path or correct this one")
