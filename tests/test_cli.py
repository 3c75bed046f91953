"""The command `spikeline`, as a person meets it: what it prints, where, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.layer_spec import ReadoutSpec
from pipeline.model_file import Model, save_model
from pipeline.packet import Format
from spikeline import cli
from spikeline.commands.run import result_line, summary_lines
from spikeline.describe import description
from tests.fake_catalog import WindowConfig

PIPELINE = """\
name: demo
source: {type: memory, shape: [2], events: [[1000, 0], [2000, 1], [3000, 1]], end_ms: 10, label: 1}
operators:
  - {type: readout, model: two.safetensors, layer: out, every_ms: 5}
sinks:
  - {type: json_lines, path: out.jsonl}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a pipeline that counts the spikes of two units."""
    monkeypatch.chdir(tmp_path)
    readout = ReadoutSpec("spike_count", ("left", "right"), np.eye(2, dtype=np.float32))
    save_model("two.safetensors", Model(Format("spikes", (2,)), {"out": readout}))
    Path("x.yaml").write_text(PIPELINE)
    return tmp_path


class Said:
    """What a command answered."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out.splitlines(), err.splitlines()


@pytest.fixture
def spikeline(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*arguments: str) -> Said:
        with pytest.raises(SystemExit) as stopped:
            cli.main(list(arguments))
        captured = capsys.readouterr()
        return Said(int(stopped.value.code or 0), captured.out, captured.err)

    return run


# run


def test_run_ends_with_the_accuracy_and_writes_decisions_and_summary(folder: Path, spikeline) -> None:
    said = spikeline("run", "x.yaml", "--inline", "--summary", "figures/s.json")
    assert (said.code, said.err) == (0, [])
    assert said.out[-1] == "accuracy 1.00 on 1 episode"
    assert [json.loads(line)["name"] for line in Path("out.jsonl").read_text().splitlines()] == ["right", "right"]
    figures = json.loads(Path("figures/s.json").read_text())
    assert (figures["episodes"], figures["labelled"], figures["accuracy"], figures["events_in"]) == (1, 1, 1.0, 3)
    assert list(Path("figures").iterdir()) == [Path("figures/s.json")]


def test_run_applies_set_and_stages_that_share_a_process(folder: Path, spikeline) -> None:
    said = spikeline("run", "x.yaml", "--set", "source.label=-1", "--set", "stages={processes: false}")
    assert said.out[-1] == "2 decisions on 1 episode"


def test_a_file_with_three_mistakes_ends_with_three_lines_and_code_1(folder: Path, spikeline) -> None:
    text = PIPELINE.replace("type: memory", "type: memry").replace("every_ms", "evry_ms").replace(", path: out.jsonl", "")
    Path("x.yaml").write_text(text)
    said = spikeline("run", "x.yaml")
    assert said.code == 1
    assert said.out == []
    assert said.err == [
        "x.yaml:2: source: there is no source 'memry' (did you mean 'memory'?)",
        "x.yaml:4: operators[0].evry_ms is not an option of readout (did you mean 'every_ms'?)",
        "x.yaml:6: sinks[0] (json_lines) needs 'path': the file; missing folders are made",
    ]


def test_a_model_of_another_shape_is_one_line(folder: Path, spikeline) -> None:
    said = spikeline("run", "x.yaml", "--set", "source.shape=[3]")
    assert said.code == 1
    assert len(said.err) == 1
    assert said.err[0].startswith("x.yaml:4: operators[0] (readout): ")


def test_a_resume_from_nowhere_is_one_line(folder: Path, spikeline) -> None:
    said = spikeline("run", "x.yaml", "--inline", "--resume", "nowhere")
    assert (said.code, len(said.err)) == (1, 1)
    assert "nowhere" in said.err[0]


def test_the_result_line_counts_labelled_episodes_or_else_decisions() -> None:
    assert result_line({"labelled": 120, "accuracy": 0.9667, "episodes": 121}) == "accuracy 0.97 on 120 episodes"
    assert result_line({"labelled": 0, "accuracy": None, "decisions": 1, "episodes": 3}) == "1 decision on 3 episodes"


def test_the_summary_tells_rate_latency_drift_and_losses() -> None:
    figures = {
        "events_in": 12345, "wall_s": 2.0, "events_per_s": 6172.5, "realtime_factor": 1.0, "lost": 7, "dropped_packets": 1,
        "latency_us": {"p50": 240.0, "p99": 1500.0, "max": 2000.0},
        "drift_ms": {"p50": 0.1, "p99": 0.2, "max": 0.5, "last": 0.05},
        "labelled": 2, "accuracy": 0.5,
    }  # fmt: skip
    assert summary_lines(figures) == [
        "12,345 events in 2.00 s, 6,172 events/s, 1 times real time",
        "decision latency p50 240 us, p99 1.50 ms, max 2.00 ms",
        "behind its pace by p50 0.10 ms, max 0.50 ms, at the end 0.05 ms",
        "lost: 7 events, 1 packets",
        "accuracy 0.50 on 2 episodes",
    ]


# check, graph, list, describe, schema, info


def test_check_says_that_it_fits_together(folder: Path, spikeline) -> None:
    said = spikeline("check", "x.yaml")
    assert said.code == 0
    assert said.out == ["x.yaml: fits together (memory, 1 operator, 1 sink; the sinks receive decisions of shape 2)"]


def test_graph_draws_text_with_the_format_between_any_two(folder: Path, spikeline) -> None:
    said = spikeline("graph", "x.yaml")
    assert said.out[0] == "demo:"
    assert [line for line in said.out if "|" in line] == ["    | spikes of shape 2", "    | decisions of shape 2"]
    assert said.out[-1].startswith("  json_lines  path: ")
    assert said.out[-1].endswith("out.jsonl")


def test_graph_draws_an_edge_to_every_sink_in_mermaid_and_dot(folder: Path, spikeline) -> None:
    two = ("--set", "sinks=[{type: print}, {type: score}]")
    mermaid = spikeline("graph", "x.yaml", "--format", "mermaid", *two).out
    assert mermaid[0] == "flowchart TD"
    assert [line for line in mermaid if "--" in line] == [
        '  n0 -- "spikes of shape 2" --> n1',
        '  n1 -- "decisions of shape 2" --> n2',
        '  n1 -- "decisions of shape 2" --> n3',
    ]
    dot = spikeline("graph", "x.yaml", "--format", "dot", *two).out
    assert (dot[0], dot[-1]) == ('digraph "demo" {', "}")
    assert '  n1 -> n3 [label="decisions of shape 2"];' in dot


def test_list_shows_every_component_in_one_line(spikeline) -> None:
    said = spikeline("list")
    types = [line.split()[1] for line in said.out]
    assert {"dvs_file", "memory", "lif", "delay", "readout", "print", "json_lines"} <= set(types)
    assert all(len(line.split()) > 3 for line in said.out)


def test_describe_tells_what_it_does_and_its_options(spikeline) -> None:
    said = spikeline("describe", "background_activity")
    assert said.out[0] == "background_activity (operator)"
    assert any(line.split()[:7] == ["window_ms", "number", ">", "0,", "<=", "1e+06", "ms"] for line in said.out)


def test_describe_makes_an_example_where_the_docstring_has_none() -> None:
    text = description("operator", "window", WindowConfig)
    assert text.splitlines()[-1] == "Example: {type: window}"
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "mode keep | drop | number keep what to do" in rows
    assert "to [whole number, whole number] none a size" in rows


def test_describe_of_an_unknown_type_names_the_nearest(spikeline) -> None:
    said = spikeline("describe", "lf")
    assert (said.code, said.err) == (1, ["there is no component 'lf' (did you mean 'lif'?)"])


def test_schema_is_json(spikeline) -> None:
    assert json.loads("\n".join(spikeline("schema").out))["title"] == "spikeline pipeline"


def test_info_of_what_is_no_recording_is_one_line(folder: Path, spikeline) -> None:
    for name in ("x.yaml", "missing.raw"):
        said = spikeline("info", name)
        assert (said.code, len(said.err)) == (1, 1)
        assert name in said.err[0]


def test_info_prints_a_recording_for_people_and_for_programs(folder: Path, spikeline) -> None:
    Path("a.bin").write_bytes(bytes([3, 4, 0x80, 0, 10, 5, 6, 0, 1, 0]))  # N-MNIST: x, y, polarity and 23 bits of time
    figures = json.loads(spikeline("info", "a.bin", "--json").out[0])
    assert (figures["events"], figures["first_t_us"], figures["last_t_us"]) == (2, 10, 256)
    assert ["events", "2"] in [line.split() for line in spikeline("info", "a.bin").out]


# test


def with_tests(*tests: str) -> str:
    return PIPELINE + "tests:\n" + "".join(f"  - {test}\n" for test in tests)


def test_the_tests_of_a_file_pass_when_the_decisions_are_those_expected(folder: Path, spikeline) -> None:
    Path("x.yaml").write_text(
        with_tests(
            "{name: silence decides nothing, end_ms: 100}",
            "{name: right wins, input: [[100, 1]], end_ms: 10, decisions: [{t_ms: 5, class: right}, {class: 1, final: true}]}",
            "{name: left wins, input: [[9000, 0]], end_ms: 10, decisions: [{t_ms: 10, class: left, confidence_at_least: 0.7}]}",
        )
    )
    said = spikeline("test", "x.yaml")
    assert (said.code, said.err) == (0, [])
    assert said.out == ["passed  silence decides nothing", "passed  right wins", "passed  left wins", "3 passed"]


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("input: [[100, 1]], end_ms: 5", "wanted 0 decisions, got 1: right at 5 ms with confidence 0.731"),
        ("end_ms: 5, decisions: [{class: left}]", "wanted 1 decisions, got 0"),
        ("input: [[1, 1]], end_ms: 5, decisions: [{class: left}]", "decision 0 wanted class left, got right at 5 ms with "),
        ("input: [[1, 1]], end_ms: 5, decisions: [{t_ms: 4}]", "decision 0 wanted at 4 ms, got right at 5 ms"),
        ("input: [[1, 1]], end_ms: 5, decisions: [{confidence_at_least: 0.9}]", "decision 0 wanted with confidence 0.9 at least"),
        ("input: [[1, 1]], end_ms: 5, decisions: [{final: false}]", "decision 0 wanted not final, got right"),
        ("input: [[1, 2]], end_ms: 5", "input[0] names unit 2; the source's spikes of shape 2 have 2"),
        ("input: [[5000, 1]], end_ms: 5", "input[0] at 5000 us lies outside of the episode, 0 to 5000 us"),
        ("input: [{t_ms: 1, x: 0, y: 0}], end_ms: 5", "events {t_ms, x, y, p} need a camera; the source gives spikes of shape 2"),
    ],
)
def test_a_test_that_fails_says_why_and_the_exit_code_is_1(folder: Path, spikeline, test: str, reason: str) -> None:
    Path("x.yaml").write_text(with_tests(f"{{name: it, {test}}}"))
    said = spikeline("test", "x.yaml")
    assert said.code == 1
    assert said.out[0].startswith(f"FAILED  it: {reason}")
    assert said.out[-1] == "1 of 1 failed"


def test_a_cameras_events_are_told_by_pixel(folder: Path, spikeline) -> None:
    text = with_tests("{name: ON wins, input: [{t_ms: 1, x: 0, y: 0, p: 1}], end_ms: 5, decisions: [{class: right}]}")
    Path("x.yaml").write_text(text.replace("shape: [2], events: [[1000, 0], [2000, 1], [3000, 1]]", "shape: [2, 1, 1]"))
    assert spikeline("test", "x.yaml").out[-1] == "1 passed"


# What goes wrong


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["chek"], "No such command 'chek'"),
        (["run"], "Missing argument"),
        (["run", "x.yaml", "--nline"], "No such option"),
        (["graph", "x.yaml", "--format", "svg"], "Invalid value for '--format'"),
    ],
)
def test_wrong_usage_is_one_plain_line_and_code_2(folder: Path, spikeline, arguments: list[str], line: str) -> None:
    said = spikeline(*arguments)
    assert (said.code, said.out, len(said.err)) == (2, [], 1)
    assert said.err[0].startswith(line)


def test_a_long_error_is_not_wrapped(folder: Path, spikeline) -> None:
    name = "a" * 150 + ".yaml"
    assert spikeline("check", name).err == [f"{name}: no such file or directory"]


def test_an_unexpected_error_is_one_line_that_says_how_to_see_more(
    folder: Path, spikeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPIKELINE_DEBUG", raising=False)
    monkeypatch.setattr("spikeline.load", lambda *_, **__: [][0])
    said = spikeline("check", "x.yaml")
    line = "unexpected IndexError: list index out of range (SPIKELINE_DEBUG=1 shows the traceback)"
    assert (said.code, said.err) == (1, [line])


def test_a_traceback_is_shown_on_demand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKELINE_DEBUG", "1")
    monkeypatch.setattr("spikeline.load", lambda *_, **__: [][0])
    with pytest.raises(IndexError):
        cli.main(["check", "x.yaml"])


def test_without_the_train_extra_train_says_what_to_install(folder: Path, spikeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikeline.commands.train.find_spec", lambda name: None)
    said = spikeline("train", "recipe.yaml")
    assert (said.code, said.err) == (1, ["training needs torch and lightning: pip install 'spikeline[train]'"])


def test_the_version_is_printed(spikeline) -> None:
    assert spikeline("--version").out[0].startswith("spikeline 0.")


def test_a_reader_that_stops_early_is_told_nothing(tmp_path: Path) -> None:
    script = "import sys; from spikeline.cli import main; main(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(timeout=60)


def test_a_summary_that_cannot_be_written_is_told_before_the_run(folder: Path, spikeline) -> None:
    said = spikeline("run", "x.yaml", "--inline", "--summary", ".")
    assert (said.code, said.out, said.err) == (1, [], ["--summary .: is a folder, wanted a file"])


def test_a_component_of_ones_own_is_described(spikeline) -> None:
    assert spikeline("describe", "tests.fake_catalog:WindowConfig").out[0] == "tests.fake_catalog:WindowConfig (operator)"
    assert spikeline("describe", "pathlib:Path").err == [
        "pathlib:Path is no SourceConfig or OperatorConfig or SinkConfig and so no component"
    ]


def test_a_summary_goes_into_a_pipe_and_does_not_replace_it(folder: Path, spikeline) -> None:
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    said = spikeline("run", "x.yaml", "--inline", "--summary", "pipe")
    content = os.read(reader, 65536)
    os.close(reader)
    assert said.code == 0
    assert Path("pipe").is_fifo()
    assert json.loads(content)["dropped_packets"] == 0


@pytest.mark.parametrize("how", ["--inline", ""])
def test_a_run_whose_standard_output_was_closed_ends_well(folder: Path, how: str) -> None:
    program = f'"{sys.executable}" -c "from spikeline.cli import main; main()" run x.yaml {how} --summary s.json >&-'
    ended = subprocess.run(["sh", "-c", program], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(Path("s.json").read_text())["dropped_packets"] == 0
