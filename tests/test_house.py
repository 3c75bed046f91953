"""The house around the code: what the documents, the configs and the packaging promise, holds."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import spikeline
from pipeline.config import read_draft
from pipeline.graph import load
from spikeline import catalog

ROOT = Path(__file__).parent.parent
CATALOG = catalog.make_catalog(custom=False)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
KERNELS = sorted(path for path in ROOT.glob("*/kernels/*.py") if path.name != "__init__.py")
TEXTS = {".py", ".md", ".toml", ".yaml", ".txt", ".json", ""}
OF_ONE_MACHINE = re.compile(r"(?<![\w.:/}])/(work|root|home|Users|mnt)/\w")


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: what belongs to the project cannot be told from what does not")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def yaml_examples() -> list[tuple[str, str]]:
    fence = re.compile(r"```yaml[^\n]*\n(.*?)```", re.DOTALL)
    found = [(page.name, block) for page in PAGES for block in fence.findall(page.read_text())]
    return [(name, block) for name, block in found if re.search(r"^source:", block, re.MULTILINE)]


@pytest.mark.parametrize(("page", "example"), yaml_examples())
def test_yaml_of_the_documents_validates(page: str, example: str, tmp_path: Path) -> None:
    (tmp_path / "example.yaml").write_text(example)
    if ":EveryNthConfig" in example:
        pytest.skip("names a class of its page, which tests/test_adding_an_operator.py runs")
    assert not read_draft(tmp_path / "example.yaml", CATALOG).document.problems


def test_readme_shows_a_whole_pipeline() -> None:
    assert any(page == "README.md" for page, _ in yaml_examples())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_config_fits_together(path: Path) -> None:
    if "SPIKELINE_DATA" in path.read_text() and not os.environ.get("SPIKELINE_DATA"):
        pytest.skip("set SPIKELINE_DATA to the folder of recordings (README, section Data) to check this config")
    assert load(path, CATALOG).path == path


def test_there_are_configs_that_run_as_they_are() -> None:
    assert {"quickstart.yaml", "nmnist.yaml"} <= {path.name for path in CONFIGS}


def test_no_file_names_a_path_of_one_machine() -> None:
    texts = [path for path in tracked_files() if path.suffix in TEXTS]
    named = {str(path.relative_to(ROOT)): found.group() for path in texts if (found := OF_ONE_MACHINE.search(path.read_text()))}
    assert not named


def test_changelog_speaks_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in text or f"## [{spikeline.__version__}]" in text


def test_versions_agree() -> None:
    assert PROJECT["project"]["version"] == spikeline.__version__ == version("spikeline")


def test_licence_is_the_one_that_is_declared() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]


def test_constraints_pin_versions_and_name_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!-]+", line)] == []


def test_constraints_pin_every_dependency() -> None:
    pinned = {re.split("==", line)[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    named = {re.split(r"[=<>~! ;\[]", line)[0].lower().replace("_", "-") for group in groups for line in group}
    assert named <= pinned


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_kernels_have_a_signature_are_cached_and_use_no_fast_mathematics(path: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    for node in functions:
        for decorator in node.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            assert call is not None, f"{path.name}: {node.name}: a kernel needs a signature"
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert ast.unparse(call.func) == "njit", f"{path.name}: {node.name}: only njit makes kernels"
            assert call.args, f"{path.name}: {node.name}: a kernel needs a signature"
            options.pop("nogil", None)  # lets other threads run meanwhile, and changes no number
            assert options == {"cache": "True"}, f"{path.name}: {node.name}: a kernel is cached, and compiled with nothing else"


def test_readme_names_every_component() -> None:
    text = (ROOT / "README.md").read_text()
    assert [name for _, name, _ in CATALOG if f"`{name}`" not in text] == []


def test_links_between_documents_lead_somewhere() -> None:
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\((?!\w+:|#)([^)#]+)", page.read_text())]
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []
