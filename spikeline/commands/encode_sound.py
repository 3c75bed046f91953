"""`spikeline encode-sound`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer


def encode_sound(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Labelled sounds, as of sound_dataset.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT.h5", help="The file to write.", show_default=False)],
    mode: Annotated[Literal["exact", "causal"], typer.Option(help="The original's phase, or that of live use.")] = "exact",
    channels: Annotated[int, typer.Option(help="Of the cochlea: 700, 140 or 70.")] = 700,
    level: Annotated[
        Literal["file", "agc", "none"] | None, typer.Option(help="Of the sound. By default file for exact, agc for causal.")
    ] = None,
    window: Annotated[
        Literal["none", "ramp", "hann"] | None, typer.Option(help="Of level file; by default hann, the original's.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the fibres' random numbers.")] = 0,
    rate_hz: Annotated[float, typer.Option(help="The rate to resample to; 48000 is the original's.")] = 48_000.0,
    files: Annotated[list[str] | None, typer.Option(help="Which files, as a pattern; may be repeated.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Which files not, likewise.")] = None,
    times: Annotated[
        Literal["float16", "float32", "float64"], typer.Option(help="Of spikes/times; float16 is SHD's, to 0.5 ms.")
    ] = "float32",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one a core.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a file that exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Make a data set of spikes in the layout of SHD from labelled sounds. A run that was stopped goes on when repeated."""
    from operators.cochlea import CochleaConfig
    from spikeline.encode_sound import encode_sounds

    level = level or ("file" if mode == "exact" else "agc")
    window = window or ("hann" if level == "file" else "none")
    options = {"mode": mode, "channels": channels, "level": level, "window": window, "seed": seed}
    cochlea = CochleaConfig.model_validate(options)
    began_s = time.monotonic()
    with ExitStack() as stack:
        figures = encode_sounds(
            folder, target, cochlea, rate_hz=rate_hz, files=tuple(files or ["*"]), exclude=tuple(exclude or []), times=times,
            workers=workers, force=force, on_progress=_progress(folder, quiet, stack),
        )  # fmt: skip
    resumed = f", {figures['resumed']:,} of them earlier" if figures["resumed"] else ""
    print(f"{target}: {figures['sounds']:,} sounds of {figures['classes']} classes, {figures['seconds']:.0f} s, "
          f"{figures['spikes']:,} spikes, in {time.monotonic() - began_s:.0f} s{resumed}")


def _progress(folder: Path, quiet: bool, stack: ExitStack) -> Callable[[int, int], None]:
    if quiet or not sys.stderr.isatty():
        return lambda done, of: None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    progress = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = progress.add_task(folder.name, total=None)
    return lambda done, of: progress.update(task, completed=done, total=of)
