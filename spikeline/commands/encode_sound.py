"""`spikeline encode-sound`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from spikeline.encode_sound import Ear


def encode_sound(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Labelled sounds, as of sound_dataset.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT.h5", help="The file to write.", show_default=False)],
    ear: Annotated[
        str | None, typer.Option(help="mel_spikes or cochlea with its options in YAML, as in a pipeline.", show_default=False)
    ] = None,
    mode: Annotated[
        Literal["exact", "causal"] | None, typer.Option(help="The original's phase (default), or that of live use.")
    ] = None,
    channels: Annotated[int | None, typer.Option(help="Of the cochlea: 700 (default), 140 or 70.")] = None,
    level: Annotated[
        Literal["file", "agc", "none"] | None, typer.Option(help="Of the sound. By default file for exact, agc for causal.")
    ] = None,
    window: Annotated[
        Literal["none", "ramp", "hann"] | None, typer.Option(help="Of level file; by default hann, the original's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the fibres' random numbers; by default 0.")] = None,
    rate_hz: Annotated[float, typer.Option(help="The rate to resample to; 48000 is the original's.")] = 48_000.0,
    files: Annotated[list[str] | None, typer.Option(help="Which files, as a pattern; may be repeated.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Which files not, likewise.")] = None,
    times: Annotated[
        Literal["float16", "float32", "float64"], typer.Option(help="Of spikes/times; float16 is SHD's, to 0.5 ms.")
    ] = "float32",
    variants: Annotated[int, typer.Option(min=0, help="Variants of each sound: other voices, tempos, rooms, noise.")] = 0,
    silence: Annotated[int, typer.Option(min=0, help="Samples of background noise, a class of their own.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one a core.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a file that exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Make a data set of spikes in the layout of SHD from labelled sounds. A run that was stopped goes on when repeated."""
    from spikeline.encode_sound import encode_sounds

    options = {"mode": mode, "channels": channels, "level": level, "window": window, "seed": seed}
    given = {name: option for name, option in options.items() if option is not None}
    began_s = time.monotonic()
    with ExitStack() as stack:
        figures = encode_sounds(
            folder, target, ear_of(ear, given), rate_hz=rate_hz, files=tuple(files or ["*"]), exclude=tuple(exclude or []),
            times=times, variants=variants, silence=silence, workers=workers, force=force,
            on_progress=_progress(folder, quiet, stack),
        )  # fmt: skip
    resumed = f", {figures['resumed']:,} of them earlier" if figures["resumed"] else ""
    print(f"{target}: {figures['sounds']:,} sounds of {figures['classes']} classes, {figures['seconds']:.0f} s, "
          f"{figures['spikes']:,} spikes, in {time.monotonic() - began_s:.0f} s{resumed}")


def ear_of(text: str | None, options: dict[str, Any]) -> Ear:
    """The operator that `text` describes; without one the cochlea with these options, by default as the original was."""
    from pydantic import ValidationError
    from ruamel.yaml import YAML, YAMLError

    from operators.cochlea import CochleaConfig
    from operators.mel_spikes import MelSpikesConfig
    from pipeline.config_errors import explain, one_line

    if text is None:
        mode = options.get("mode", "exact")
        level = options.get("level", "file" if mode == "exact" else "agc")
        window = "hann" if level == "file" else "none"
        return CochleaConfig.model_validate({"mode": mode, "level": level, "window": window, **options})
    if options:
        raise ValueError(f"--{next(iter(options))} and --ear: the ear's own options say that; write it into --ear")
    wanted = f"--ear {text!r}: wanted mel_spikes or cochlea and its options, as '{{type: mel_spikes}}'"
    try:
        given = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise ValueError(f"{wanted}: {one_line(error)}") from None
    given = {"type": given} if isinstance(given, str) else given
    model = CochleaConfig if isinstance(given, dict) and given.get("type") == "cochlea" else MelSpikesConfig
    try:
        return model.model_validate(given)
    except ValidationError as error:
        wrong = "; ".join(message for _, message in explain(error, model, given, (), str(model.model_fields["type"].default)))
        raise ValueError(f"{wanted}: {wrong}") from None


def _progress(folder: Path, quiet: bool, stack: ExitStack) -> Callable[[int, int], None]:
    if quiet or not sys.stderr.isatty():
        return lambda done, of: None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    progress = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = progress.add_task(folder.name, total=None)
    return lambda done, of: progress.update(task, completed=done, total=of)
