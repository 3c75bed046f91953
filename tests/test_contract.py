"""Every component of the catalog keeps its contract: all checks of tests/contract.py on all examples of tests/examples.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spikeline import catalog
from tests import contract, contract_sinks, contract_sources, examples
from tests.digests import digests

TABLES: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "source": (catalog.SOURCES, examples.SOURCES),
    "operator": (catalog.OPERATORS, examples.OPERATORS),
    "sink": (catalog.SINKS, examples.SINKS),
}
CASES: dict[str, Any] = {"source": examples.source_case, "operator": examples.operator_case, "sink": examples.sink_case}
CHECKS: dict[str, tuple[Any, ...]] = {
    "source": (*contract_sources.SOURCE_CHECKS, *contract.CONFIG_CHECKS),
    "operator": (*contract.OPERATOR_CHECKS, *contract.CONFIG_CHECKS, contract.check_misfit_is_refused),
    "sink": (*contract_sinks.SINK_CHECKS, *contract.CONFIG_CHECKS, contract.check_misfit_is_refused),
}


def every_check_on_every_example() -> list[Any]:
    rows = []
    for kind, (_, table) in TABLES.items():
        for number, example in enumerate(table):
            for check in CHECKS[kind]:
                name = f"{example.options['type']}-{number}-{check.__name__.removeprefix('check_')}"
                nothing_to_refuse = check is contract.check_misfit_is_refused and example.misfit is None
                if check not in example.excluded and not nothing_to_refuse:
                    rows.append(pytest.param(kind, example, check, id=name))
    return rows


@pytest.mark.parametrize(("kind", "example", "check"), every_check_on_every_example())
def test_component_keeps_its_contract(kind: str, example: Any, check: Any, tmp_path: Path) -> None:
    check(CASES[kind](example, tmp_path))


@pytest.mark.parametrize("kind", TABLES)
def test_catalog_holds_components_and_each_has_an_example(kind: str) -> None:
    configs, table = TABLES[kind]
    assert configs, f"the catalog holds no {kind}"
    assert {example.options["type"] for example in table} == set(configs), "tests/examples.py and the catalog differ"


@pytest.mark.parametrize("kind", TABLES)
def test_type_of_each_config_is_its_name_in_the_catalog(kind: str) -> None:
    configs, _ = TABLES[kind]
    assert [config.model_fields["type"].default for config in configs.values()] == list(configs)


def test_exclusions_carry_reasons() -> None:
    for _, table in TABLES.values():
        assert all(len(reason.split()) > 3 for example in table for reason in example.excluded.values())


@pytest.mark.parametrize("example", examples.OPERATORS, ids=lambda example: example.options["type"])
def test_operator_example_gives_out_events(example: examples.OperatorExample, tmp_path: Path) -> None:
    case = examples.operator_case(example, tmp_path)
    assert sum(packet.n for packet in contract.run(case.make(), [case.episode])), "an example that stays silent proves nothing"


def test_plain_python_and_compiled_kernels_give_the_same_bits() -> None:
    environment = os.environ | {"NUMBA_DISABLE_JIT": "0" if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0") else "1"}
    other = subprocess.run([sys.executable, "-m", "tests.digests"], env=environment, capture_output=True, text=True, check=False,
                           cwd=Path(__file__).parent.parent)
    assert other.returncode == 0, other.stderr
    assert json.loads(other.stdout) == digests()
