"""`spikeline test`: runs the tests that a pipeline's file brings along."""

from __future__ import annotations

import typer

from spikeline.commands.options import ConfigPath, NoCustom, Overrides, load


def own_tests(config: ConfigPath, overrides: Overrides = None, no_custom: NoCustom = False) -> None:
    """Run the tests of a pipeline's file: its operators, fed the tests' input."""
    from spikeline.yaml_tests import run_tests

    graph = load(config, overrides, no_custom)
    if not graph.tests:
        print(f"{config} holds no tests")
        return
    failed = 0
    for test, reason in run_tests(graph):
        print(f"FAILED  {test.name}: {reason}" if reason else f"passed  {test.name}")
        failed += bool(reason)
    print(f"{failed} of {len(graph.tests)} failed" if failed else f"{len(graph.tests)} passed")
    if failed:
        raise typer.Exit(1)
