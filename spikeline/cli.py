"""The command `spikeline`: its sub-commands, and how what goes wrong is said."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from spikeline.commands import convert, encode_sound, evaluate, look, nir, own_tests, run, timing_sets, train

app = typer.Typer(
    help="A streaming event-processing pipeline: event sensors and recordings to spiking networks to live decisions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run.run)
app.command()(look.check)
app.command()(look.graph)
app.command("list")(look.list_components)
app.command()(look.describe)
app.command()(look.schema)
app.command("test")(own_tests.own_tests)
app.command()(look.info)
app.command()(convert.convert)
app.command("encode-sound")(encode_sound.encode_sound)
app.command()(train.train)
app.command("import-nir")(nir.import_nir)
app.command("export-nir")(nir.export_nir)
app.command("check-nir")(nir.check_nir)
app.command()(evaluate.evaluate)
app.command("timing-sets")(timing_sets.timing_sets)


def _show_version(wanted: bool) -> None:
    if wanted:
        import spikeline

        print(f"spikeline {spikeline.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 something is wrong, 2 wrong usage, 130 interrupted. Errors are lines on stderr."""
    _open_what_is_closed()
    try:
        code = app(arguments, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted", 130)
    except Exception as error:
        code = _failed(error)
    sys.exit(code if isinstance(code, int) else 0)


def _open_what_is_closed() -> None:
    """Give a standard stream that was closed before the start (a service, `>&-`) to nowhere: otherwise the next file or socket
    opened takes its place, here and in every stage's process, and what is printed has nowhere to go."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - it stays open to the end


def _failed(error: Exception) -> int:
    """Say what went wrong; the exit code that goes with it."""
    if hasattr(error, "format_message"):  # a usage error, of the typer's own kind
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        message = error.format_message()
        return _fail(f"{message}{hint}", getattr(error, "exit_code", 2)) if message else 2
    if os.environ.get("SPIKELINE_DEBUG") == "1":
        print(getattr(error, "detail", ""), file=sys.stderr)  # the traceback of a stage, in another process
        raise error
    from pipeline.config_errors import ConfigErrors, one_line

    if isinstance(error, ConfigErrors):
        return _fail(str(error), 1)
    if isinstance(error, ValueError | OSError):
        return _fail(one_line(error), 1)
    from pipeline.runner import RunError

    if isinstance(error, RunError):
        return _fail(str(error), 1)
    return _fail(f"unexpected {type(error).__name__}: {one_line(error)} (SPIKELINE_DEBUG=1 shows the traceback)", 1)


def _fail(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
