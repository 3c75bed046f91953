"""The catalog: the house's components, and those that installed packages offer."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from spikeline import catalog
from tests.fake_catalog import WindowConfig


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes installed packages offer an operator: offered(name, "module:Class")."""

    def offer(name: str, value: str) -> None:
        def entry_points(group: str) -> list[EntryPoint]:
            return [EntryPoint(name, value, group)] if group == "spikeline.operators" else []

        monkeypatch.setattr(catalog, "entry_points", entry_points)

    return offer


def test_every_row_is_named_as_its_class_says() -> None:
    for _, name, cls in catalog.make_catalog(custom=False):
        assert cls.model_fields["type"].default == name


def test_a_component_of_an_installed_package_joins_the_table(offered: Any) -> None:
    offered("window", "tests.fake_catalog:WindowConfig")
    assert catalog.make_catalog().operators["window"] is WindowConfig
    assert "window" not in catalog.make_catalog(custom=False).operators


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lif", "tests.fake_catalog:WindowConfig", "has the name of a component of spikeline; its package must rename it"),
        ("own", "no_such_module_at_all:X", "cannot be loaded .ModuleNotFoundError: .*; remove its package or use --no-custom"),
        ("own", "pathlib:Path", "is no OperatorConfig; remove its package or use --no-custom"),
    ],
)
def test_an_offer_that_cannot_be_taken_is_one_clear_line(offered: Any, name: str, value: str, message: str) -> None:
    offered(name, value)
    with pytest.raises(ValueError, match=message) as caught:
        catalog.make_catalog()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"entry point '{name}' ({value}) of an unknown package ")
