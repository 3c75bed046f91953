"""A check that cannot fail is worthless: for each there is one component that breaks it, and is caught."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import contract, contract_sinks, contract_sources
from tests.broken_ends import BROKEN_SINKS, BROKEN_SOURCES, sink_case, source_case
from tests.broken_kernel import KERNELS
from tests.broken_operators import BROKEN_CONFIGS, BROKEN_OPERATORS, EPISODES, operator_case
from tests.contract import OperatorCase
from tests.contract_sinks import SinkCase
from tests.contract_sources import SourceCase
from tests.toys import CLASSES, DVS, ToyConfig, ToySink, ToySourceConfig


@pytest.fixture(autouse=True)
def lazy_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    KERNELS.total = numba.njit(lambda t_us: t_us.size)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, KERNELS.__name__, KERNELS)


def needs_jit(check: Callable[..., None]) -> None:
    import numba

    if numba.config.DISABLE_JIT and "compile" in check.__name__ + (check.__doc__ or ""):  # type: ignore[attr-defined]
        pytest.skip("NUMBA_DISABLE_JIT is set: nothing is compiled")


@pytest.mark.parametrize("check", BROKEN_OPERATORS, ids=lambda check: check.__name__)
def test_broken_operator_is_caught(check: Callable[[OperatorCase], None]) -> None:
    needs_jit(check)
    with pytest.raises(AssertionError):
        check(operator_case(BROKEN_OPERATORS[check]))


@pytest.mark.parametrize("check", BROKEN_CONFIGS, ids=lambda check: check.__name__)
def test_broken_config_is_caught(check: Callable[[Any], None]) -> None:
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        check(OperatorCase(BROKEN_CONFIGS[check](), DVS, *EPISODES, misfit=CLASSES))


@pytest.mark.parametrize("check", BROKEN_SOURCES, ids=lambda check: check.__name__)
def test_broken_source_is_caught(check: Callable[[SourceCase], None]) -> None:
    needs_jit(check)
    with pytest.raises((AssertionError, AttributeError)):
        check(source_case(BROKEN_SOURCES[check]))


@pytest.mark.parametrize("check", BROKEN_SINKS, ids=lambda check: check.__name__)
def test_broken_sink_is_caught(check: Callable[[SinkCase], None], tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        check(sink_case(BROKEN_SINKS[check], tmp_path))


@pytest.mark.parametrize("check", [*contract.OPERATOR_CHECKS, *contract.CONFIG_CHECKS], ids=lambda check: check.__name__)
def test_sound_operator_passes(check: Callable[[Any], None]) -> None:
    check(OperatorCase(ToyConfig(), DVS, *EPISODES, misfit=CLASSES))


@pytest.mark.parametrize("check", contract_sources.SOURCE_CHECKS, ids=lambda check: check.__name__)
def test_sound_source_passes(check: Callable[[SourceCase], None]) -> None:
    check(SourceCase(ToySourceConfig(), recut=({"packet_ms": 3.7}, {"max_events": 7})))


@pytest.mark.parametrize("check", contract_sinks.SINK_CHECKS, ids=lambda check: check.__name__)
def test_sound_sink_passes(check: Callable[[SinkCase], None], tmp_path: Path) -> None:
    check(sink_case(ToySink, tmp_path))


def test_every_check_has_a_component_that_breaks_it() -> None:
    assert set(BROKEN_OPERATORS) == set(contract.OPERATOR_CHECKS)
    assert set(BROKEN_CONFIGS) == {*contract.CONFIG_CHECKS, contract.check_misfit_is_refused}
    assert set(BROKEN_SOURCES) == set(contract_sources.SOURCE_CHECKS)
    assert set(BROKEN_SINKS) == set(contract_sinks.SINK_CHECKS)
