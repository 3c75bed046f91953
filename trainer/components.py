"""The sources and operators that a recipe can name: every component of the house's folders, by type."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

import operators
import sources
from pipeline.config import Catalog
from pipeline.contract import OperatorConfig, SourceConfig

ConfigT = TypeVar("ConfigT", SourceConfig, OperatorConfig)


def house() -> Catalog:
    """All of sources/ and operators/. The roof's catalog, with the user's own components, can stand in its place."""
    return Catalog(sources=_configs(sources, SourceConfig), operators=_configs(operators, OperatorConfig))


def _configs(package: ModuleType, base: type[ConfigT]) -> dict[str, type[ConfigT]]:
    found: dict[str, type[ConfigT]] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if not module.ispkg:
            for cls in vars(importlib.import_module(f"{package.__name__}.{module.name}")).values():
                if isinstance(cls, type) and issubclass(cls, base) and isinstance(tag := cls.model_fields["type"].default, str):
                    found[tag] = cls
    return found
