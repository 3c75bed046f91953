"""What is written in YAML, and how mistakes in it are told."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from pipeline.config import Draft, PipelineConfig, component, read_draft, read_options
from pipeline.config_errors import ConfigErrors
from pipeline.contract import Config
from pipeline.graph import Graph, build, load
from pipeline.yaml_text import Document
from tests.fake_catalog import CATALOG, BodyConfig, CameraConfig, FileConfig, StackConfig, WindowConfig

SOUND = """\
source: {type: camera, height: 8, width: 8}
operators:
  - {type: window, window_ms: 2}
  - {type: layer, layer: hidden}
sinks:
  - {type: file, path: out.jsonl}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an empty `configs` in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    return tmp_path


def loaded(text: str, *overrides: str, custom: bool = True) -> Graph:
    Path("configs/x.yaml").write_text(text)
    return load("configs/x.yaml", CATALOG, overrides, custom=custom)


def drafted(text: str, *overrides: str) -> Draft:
    Path("configs/x.yaml").write_text(text)
    return read_draft("configs/x.yaml", CATALOG, overrides)


def mistakes(text: str, *overrides: str, custom: bool = True) -> list[str]:
    """The lines that loading `text` ends with."""
    with pytest.raises(ConfigErrors) as caught:
        loaded(text, *overrides, custom=custom)
    return str(caught.value).splitlines()


def mistake(text: str, *overrides: str, custom: bool = True) -> str:
    lines = mistakes(text, *overrides, custom=custom)
    assert len(lines) == 1, lines
    return lines[0]


# What a sound file gives


def test_a_sound_file_gives_its_configs(folder: Path) -> None:
    draft = drafted(SOUND)
    assert draft.source == CameraConfig(height=8, width=8)
    assert draft.operators[0] == WindowConfig(window_ms=2.0)
    assert [sink.type for sink in draft.sinks if sink] == ["file"]
    assert draft.document.problems == []


def test_the_name_is_the_stem_of_the_file_unless_given(folder: Path) -> None:
    assert loaded(SOUND).name == "x"
    assert loaded("name: hand\n" + SOUND).name == "hand"


def test_a_file_without_operators_is_sound(folder: Path) -> None:
    assert loaded("source: {type: camera}\nsinks: [{type: file, path: a}]\noperators:\n").operators == ()


def test_a_path_in_the_file_is_relative_to_the_file(folder: Path) -> None:
    sink = loaded(SOUND).sinks[0].config
    assert isinstance(sink, FileConfig)
    assert sink.path == folder / "configs" / "out.jsonl"


def test_checkpoints_go_to_the_current_folder_unless_given(folder: Path) -> None:
    assert loaded(SOUND).stages.checkpoints == Path("x.checkpoints")
    assert loaded(SOUND + "stages: {checkpoints: kept}\n").stages.checkpoints == folder / "configs" / "kept"


def test_each_way_to_write_a_tests_input_is_read(folder: Path) -> None:
    inputs = "[[5, 3], [6, 3, 0.5], {t_ms: 1, x: 2, y: 3}]"
    (test,) = loaded(SOUND + f"tests: [{{name: a, input: {inputs}, end_ms: 10, decisions: [{{class: up}}]}}]\n").tests
    assert test.input[:2] == ((5, 3), (6, 3, 0.5))
    assert test.decisions[0].class_ == "up"


def test_anchors_and_merge_keys_mean_what_they_mean_in_yaml(folder: Path) -> None:
    text = """\
source: {type: camera}
operators:
  - &base {type: window, window_ms: 3, mode: drop}
  - {<<: *base, window_ms: 4}
sinks: [{type: file, path: a}]
"""
    assert drafted(text).operators[1] == WindowConfig(window_ms=4.0, mode="drop")


# Mistakes


def test_all_mistakes_are_told_at_once_each_with_its_line(folder: Path) -> None:
    text = """\
source: {type: camra}
operators:
  - {type: window,
     window_ms: -3}
  - {type: layer, layr: hidden}
sinks: []
stagse: {}
"""
    assert mistakes(text) == [
        "configs/x.yaml:1: source: there is no source 'camra' (did you mean 'camera'?)",
        "configs/x.yaml:4: operators[0].window_ms must be greater than 0, got -3",
        "configs/x.yaml:5: operators[1] (layer) needs 'layer': name of the layer in the model",
        "configs/x.yaml:5: operators[1].layr is not an option of layer (did you mean 'layer'?)",
        "configs/x.yaml:6: the pipeline needs at least one sink, as in sinks: [{type: print}]",
        "configs/x.yaml:7: stagse is not an option of a pipeline (did you mean 'stages'?)",
    ]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("window_ms: wide", "operators[0].window_ms must be a number, got 'wide'"),
        ("window_ms: 0", "operators[0].window_ms must be greater than 0, got 0"),
        ("window_ms: .inf", "operators[0].window_ms must be a finite number, got inf"),
        ("window_ms:", "operators[0].window_ms must be a number, got nothing"),
        ("window_ms: [1, 2]", "operators[0].window_ms must be a number, got [1, 2]"),
        ("mode: kep", "operators[0].mode must be 'keep' or 'drop', or a number, got 'kep'"),
        ("to: 3", "operators[0].to must be a list, got 3"),
        ("to: [1]", "operators[0].to needs 2 items, got [1]"),
        ("to: [1, 2, 3]", "operators[0].to must be a list of at most 2, got [1, 2, 3]"),
        ("to: []", "operators[0].to needs 2 items, got []"),
        ("size: [1]", "operators[0].size needs 3 items, got [1]"),
        ("size: 3", "operators[0].size must be 'all', or a list, got 3"),
        ("to: [1, x]", "operators[0].to[1] must be a whole number, got 'x'"),
        ("to: [1, 2.5]", "operators[0].to[1] must be a whole number, got 2.5"),
        ("5: 6", "operators[0].5 is not an option of window; known: window_ms, mode, to, size"),
    ],
)
def test_a_wrong_value_is_told_with_what_was_wanted_and_got(folder: Path, option: str, message: str) -> None:
    text = f"source: {{type: camera}}\noperators:\n- type: window\n  {option}\nsinks: [{{type: file, path: a}}]\n"
    assert mistake(text) == f"configs/x.yaml:4: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: wanted a pipeline (a mapping with source and sinks), got nothing"),
        ("- 1\n", "1: wanted a pipeline (a mapping with source and sinks), got [1]"),
        ("a: [1\n", "2: not valid YAML: expected ',' or ']', but got '<stream end>', while parsing a flow sequence of line 1"),
        ("a: 1\nb: c: d\n", "2: not valid YAML: mapping values are not allowed here"),
        ("a: &a [*a]\n", "1: not usable YAML: an alias that holds itself"),
        ("a: \0\n", "1: not valid YAML: unacceptable character #x0000: special characters are not allowed in "),
        ("[" * 2000, "1: not usable YAML: nested too deeply"),
    ],
)
def test_a_file_that_is_no_pipeline_at_all_is_one_clear_line(folder: Path, text: str, message: str) -> None:
    assert mistake(text).startswith(f"configs/x.yaml:{message}")


def test_an_option_given_twice_is_told_with_both_lines(folder: Path) -> None:
    text = SOUND + "name: a\nname: b\n"
    assert mistake(text) == "configs/x.yaml:8: name is given twice (first at configs/x.yaml:7)"


def test_a_tag_is_refused(folder: Path) -> None:
    assert mistake(SOUND + "name: !secret x\n") == "configs/x.yaml:7: name has the tag !secret, which means nothing here"


def test_a_missing_file_and_a_binary_one_are_one_line(folder: Path) -> None:
    Path("b.yaml").write_bytes(b"\xff\xfe\x00")
    for name, message in {"a.yaml": "no such file or directory", "b.yaml": "not a text file in UTF-8, so no YAML"}.items():
        with pytest.raises(ConfigErrors) as caught:
            load(name, CATALOG)
        assert str(caught.value) == f"{name}: {message}"


def test_a_component_that_is_no_mapping_or_has_no_type_is_told(folder: Path) -> None:
    text = "source: camera\noperators: [{window_ms: 3}, 7]\nsinks: {type: file}\n"
    assert mistakes(text) == [
        "configs/x.yaml:1: source must be a mapping such as {type: camera}, got 'camera'",
        "configs/x.yaml:2: operators[0] needs a type, one of body, layer, window",
        "configs/x.yaml:2: operators[1] must be a mapping such as {type: window}, got 7",
        "configs/x.yaml:3: sinks must be a list of sinks, got {'type': 'file'}",
    ]


def test_a_component_of_another_kind_is_told_as_such(folder: Path) -> None:
    text = SOUND.replace("type: window, window_ms: 2", "type: file, path: a")
    assert mistake(text) == "configs/x.yaml:3: operators[0]: file is a sink, not an operator"


def test_mistakes_in_stages_and_tests_have_their_lines(folder: Path) -> None:
    text = SOUND + "stages:\n  high_water: 0\ntests:\n  - {name: a, end_ms: 5,\n     input: [[1, x]]}\n"
    assert mistakes(text) == [
        "configs/x.yaml:8: stages.high_water must be at least 1, got 0",
        "configs/x.yaml:11: tests[0].input[0][1] must be a whole number, got 'x'",
    ]


@given(st.text(max_size=40))
def test_no_text_is_answered_with_anything_but_values_or_config_errors(text: str) -> None:
    with contextlib.suppress(ConfigErrors):
        Document("x.yaml", text)


# Components inside components


def test_components_inside_components_are_made_and_dumped_whole(folder: Path) -> None:
    text = """\
source: {type: stack, sources: [{type: camera, width: 4}, {type: camera, width: 4}]}
operators: [{type: body, body: [{type: window, window_ms: 7}, {type: body, body: [{type: window}]}]}]
sinks: [{type: file, path: a}]
"""
    draft = drafted(text)
    assert isinstance(draft.source, StackConfig)
    assert draft.source.sources == (CameraConfig(width=4), CameraConfig(width=4))
    operator = draft.operators[0]
    assert isinstance(operator, BodyConfig)
    assert operator.model_dump()["body"][0]["window_ms"] == 7
    assert component("operator", operator.model_dump(), CATALOG) == operator


def test_mistakes_inside_components_have_their_own_lines(folder: Path) -> None:
    text = """\
source: {type: camera}
operators:
  - type: body
    body:
      - {type: window, window_ms: 0}
      - type: body
        body:
          - {type: windw}
    dody: 3
sinks: [{type: file, path: a}]
"""
    assert mistakes(text) == [
        "configs/x.yaml:5: operators[0].body[0].window_ms must be greater than 0, got 0",
        "configs/x.yaml:8: operators[0].body[1].body[0]: there is no operator 'windw' (did you mean 'window'?)",
        "configs/x.yaml:9: operators[0].dody is not an option of body (did you mean 'body'?)",
    ]


def test_a_component_made_from_options_tells_mistakes_without_a_file() -> None:
    with pytest.raises(ConfigErrors, match=r"^body\[0\].window_ms must be greater than 0, got 0$"):
        component("operator", {"type": "body", "body": [{"type": "window", "window_ms": 0}]}, CATALOG)


# Environment variables


def test_a_variable_alone_is_read_as_a_yaml_value(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINDOW", "7.5")
    text = SOUND.replace("window_ms: 2", "window_ms: '${env:WINDOW}', to: '${env:NO_SUCH_SIZE:-}'")
    assert drafted(text).operators[0] == WindowConfig(window_ms=7.5)


def test_a_variable_inside_a_text_is_filled_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PART", "2")
    monkeypatch.delenv("OTHER", raising=False)
    assert drafted(SOUND + "name: a${env:PART}b${env:OTHER:-c}\n").name == "a2bc"


def test_an_empty_variable_takes_the_default_as_in_a_shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", "")
    assert drafted(SOUND + "name: ${env:EMPTY:-full}\n").name == "full"


def test_a_text_with_two_dollars_is_left_alone(folder: Path) -> None:
    assert drafted(SOUND + "name: $${env:HOME}\n").name == "${env:HOME}"


def test_a_variable_that_is_not_set_is_told_once_with_its_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    text = SOUND.replace("window_ms: 2", "window_ms: '${env:NO_SUCH}'")
    assert mistake(text) == (
        "configs/x.yaml:3: operators[0].window_ms needs the environment variable NO_SUCH, which is not set"
    )


def test_a_variable_that_is_not_set_does_not_matter_where_set_replaces_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    text = SOUND.replace("window_ms: 2", "window_ms: '${env:NO_SUCH}'")
    assert drafted(text, "operators.0.window_ms=3").operators[0] == WindowConfig(window_ms=3.0)


def test_a_variable_without_quotes_between_braces_is_told_to_need_them(folder: Path) -> None:
    text = SOUND.replace("window_ms: 2", "window_ms: ${env:WINDOW}")
    assert mistake(text).endswith("while parsing a flow mapping; between { } a text with ${env:NAME} needs quotes")


def test_a_broken_variable_is_told(folder: Path) -> None:
    assert mistake(SOUND + "name: ${env:A\n").startswith("configs/x.yaml:7: name: wanted ${env:NAME} or")


def test_a_path_that_begins_with_a_variable_is_relative_to_the_current_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SOUND.replace("out.jsonl", "'${env:PLACE:-near}/out.jsonl'")
    monkeypatch.delenv("PLACE", raising=False)
    assert loaded(text).sinks[0].config == FileConfig(path=folder / "configs" / "near" / "out.jsonl")
    monkeypatch.setenv("PLACE", "far")
    assert loaded(text).sinks[0].config == FileConfig(path=Path("far/out.jsonl"))


# --set


def test_set_takes_any_yaml_value_before_anything_is_checked(folder: Path) -> None:
    draft = drafted(
        SOUND.replace("window_ms: 2", "window_ms: wrong"),
        "operators.0.window_ms=8",
        "operators[0].mode=drop",
        "source.pace=realtime",
        "stages.high_water=3",
        "sinks=[{type: file, path: d.jsonl}]",
    )
    assert draft.operators[0] == WindowConfig(window_ms=8.0, mode="drop")
    assert draft.source == CameraConfig(height=8, width=8, pace="realtime")
    assert draft.stages.high_water == 3
    assert draft.sinks == (FileConfig(path=Path("d.jsonl")),)
    assert draft.document.problems == []


def test_the_later_set_wins(folder: Path) -> None:
    assert drafted(SOUND, "name=a", "name=b").name == "b"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("operators.0.window_ms=x", "operators[0].window_ms must be a number, got 'x'"),
        ("operators.0.windw=3", "operators[0].windw is not an option of window (did you mean 'window_ms'?)"),
        ("operators.5.window_ms=3", "there is no operators.5; operators holds operators.0 to operators.1"),
        ("operators.x=3", "there is no operators.x; operators holds operators.0 to operators.1"),
        ("source.type.x=3", "source.type is 'camera', so 'x' in it cannot be set"),
        ("soruce.pace=fast", "soruce is not an option of a pipeline (did you mean 'source'?)"),
        ("tests.0.name=a", "there is no tests, so nothing in it can be set"),
        ("name=[1", "not valid YAML: expected ',' or ']', but got '<stream end>', while parsing a flow sequence"),
        ("name", "wanted PATH=VALUE, as in --set operators.0.window_ms=8"),
        ("sinks=[]", "the pipeline needs at least one sink, as in sinks: [{type: print}]"),
    ],
)
def test_a_mistake_made_with_set_is_told_as_such(folder: Path, assignment: str, message: str) -> None:
    assert mistake(SOUND, assignment) == f"--set {assignment}: {message}"


# The user's own components


OWN = """\
from typing import Literal
from pipeline.contract import OperatorConfig

class OwnConfig(OperatorConfig):
    type: Literal["own"] = "own"
    gain: float = 1.0

    def check(self, upstream):
        return upstream

class NotOne:
    pass
"""


@pytest.fixture
def own_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module beside the YAML file."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (folder / "configs" / "own_parts_of_a_test.py").write_text(OWN)
    monkeypatch.delitem(sys.modules, "own_parts_of_a_test", raising=False)
    return "own_parts_of_a_test"


def with_operator(text: str) -> str:
    return SOUND.replace("{type: window, window_ms: 2}", text)


def test_a_component_of_ones_own_is_imported_from_beside_the_file(own_module: str) -> None:
    operator = loaded(with_operator(f"{{type: '{own_module}:OwnConfig', gain: 2}}")).operators[0].config
    assert (operator.type, operator.gain) == ("own", 2.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_parts_of_a_test:Missing", "module own_parts_of_a_test has no class Missing"),
        ("own_parts_of_a_test:NotOne", "own_parts_of_a_test:NotOne is no OperatorConfig and so no operator"),
        ("no_such_module_at_all:X", "cannot import no_such_module_at_all: ModuleNotFoundError: No module named "),
    ],
)
def test_a_component_of_ones_own_that_cannot_be_had_is_told(own_module: str, name: str, message: str) -> None:
    assert mistake(with_operator(f"{{type: '{name}'}}")).startswith(f"configs/x.yaml:3: operators[0]: {message}")


def test_components_of_ones_own_are_refused_on_demand(own_module: str) -> None:
    told = mistake(with_operator(f"{{type: '{own_module}:OwnConfig'}}"), custom=False)
    assert told == f"configs/x.yaml:3: operators[0]: {own_module}:OwnConfig would run code of its own, which --no-custom forbids"


# Other files of options, and pipelines made in Python


class RecipeConfig(Config):
    epochs: int = Field(ge=1, description="passes over the data")
    encoders: tuple[WindowConfig, ...] = ()


def test_another_kind_of_file_is_read_with_the_same_care(folder: Path) -> None:
    Path("r.yaml").write_text("epochs: 3\nencoders:\n  - {type: window, window_ms: 4}\n")
    assert read_options("r.yaml", RecipeConfig, ["epochs=5"]) == RecipeConfig(epochs=5, encoders=(WindowConfig(window_ms=4),))
    Path("r.yaml").write_text("epochs: 0\nencoders:\n  - {type: window, windw: 4}\n")
    with pytest.raises(ConfigErrors) as caught:
        read_options("r.yaml", RecipeConfig)
    assert str(caught.value).splitlines() == [
        "r.yaml:1: epochs must be at least 1, got 0",
        "r.yaml:3: encoders[0].windw is not an option of a recipe (did you mean 'window_ms'?)",
    ]


def test_a_pipeline_made_in_python_is_the_one_made_in_yaml(folder: Path) -> None:
    from_yaml = loaded(SOUND)
    pipeline = PipelineConfig(
        name="x",
        source=from_yaml.source,
        operators=tuple(node.config for node in from_yaml.operators),
        sinks=tuple(node.config for node in from_yaml.sinks),
    )
    made = build(pipeline, from_yaml.path)
    assert made == from_yaml
    assert made.digest == from_yaml.digest


def test_set_counts_negative_positions_from_the_end() -> None:
    from pipeline.yaml_text import _key

    assert _key([{}, {}, {}], "-1", ("operators",)) == 2
    with pytest.raises(ValueError, match=r"there is no operators.-4"):
        _key([{}, {}, {}], "-4", ("operators",))
