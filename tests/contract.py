"""The checks that every operator passes, whatever it does. A case goes in; a check returns, or fails with what went wrong.

`tests/contract_sources.py` and `tests/contract_sinks.py` hold those of sources and sinks, `tests/examples.py` the cases,
`tests/test_contract.py` runs all on all, and `tests/test_contract_catches.py` proves with one broken component a check that
each of them can fail.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format, Packet, same_events
from tests.packets import (
    before,
    columns,
    content,
    divisions,
    empty,
    first_of,
    glue,
    owned,
    recut,
    silence,
    spread,
    unflagged,
    writable,
)
from tests.states import scribble, state_content, state_schema, through_file


@dataclass(frozen=True)
class OperatorCase:
    """An operator's options, the stream that it gets, two different episodes of that stream, and a stream that does not fit.

    rebuild(options) makes a config of its kind, as a YAML file would; None: by the config's own class.
    """

    config: OperatorConfig
    upstream: Format
    episode: Packet
    other_episode: Packet
    misfit: Format | None
    rebuild: Callable[[dict[str, Any]], Any] | None = None

    def make(self, state: State | None = None) -> Operator:
        """A new object, prepared anew: nothing is shared with objects made before."""
        return self.config.prepare(self.upstream)(state)


# --- what operators do ---


def check_recutting_changes_nothing(case: OperatorCase) -> None:
    whole = glue(run(case.make(), [case.episode]))
    for packets in divisions(case.episode):
        lengths = [packet.end_us - packet.begin_us for packet in packets]
        assert same_events(glue(run(case.make(), packets)), whole), f"other output for packets of {lengths[:20]} us"


def check_an_empty_episode_is_legal(case: OperatorCase) -> None:
    none = empty(case.episode)
    whole = glue(run(case.make(), [none]))
    for packets in divisions(none):
        assert same_events(glue(run(case.make(), packets)), whole), "silence came out differently when cut differently"


def check_outputs_meet(case: OperatorCase) -> None:
    begin_us, tick_us = case.episode.begin_us, case.config.check(case.upstream).tick_us or 1
    for packets in divisions(case.episode):
        outputs = run(case.make(), packets)
        assert outputs[0].begin_us in (begin_us, begin_us // tick_us * tick_us), f"the first begins at {outputs[0].begin_us} us"
        gaps = [(a.end_us, b.begin_us) for a, b in pairwise(outputs) if a.end_us != b.begin_us]
        assert not gaps, f"outputs do not meet: one ends at {gaps[0][0]} us, the next begins at {gaps[0][1]} us"


def check_outputs_fit_their_format(case: OperatorCase) -> None:
    format = case.config.check(case.upstream)
    for packets in divisions(case.episode):
        for output in run(case.make(), packets):
            check_events(output, format)


def check_outputs_are_sorted(case: OperatorCase) -> None:
    for packets in divisions(case.episode):
        for output in run(case.make(), packets):
            order = np.lexsort((output.unit, output.t_us))
            assert (order == np.arange(output.n)).all(), "events are not sorted by (t_us, unit)"


def check_finish_gives_all(case: OperatorCase) -> None:
    """What silence would have brought out before the end of the finished output stands in that output, first and in order."""
    finished = glue(run(case.make(), [case.episode]))
    assert finished.end_us >= case.episode.end_us, f"the output ends at {finished.end_us} us, before the episode does"
    operator, end_us = case.make(), case.episode.end_us
    outputs = [operator.process(unflagged(case.episode)), operator.process(silence(case.upstream, end_us, end_us + 10_000_000))]
    waited = before(glue(outputs), finished.end_us)
    assert same_events(waited, first_of(finished, waited.n)), f"{waited.n} events came out with time, not all of them at finish"


def check_input_is_untouched(case: OperatorCase) -> None:
    packets = [owned(packet) for packet in next(divisions(case.episode))]
    before_run = [content(packet) for packet in packets]
    run(case.make(), packets)
    assert [content(packet) for packet in packets] == before_run, "an input packet was edited"
    assert not any(a.flags.writeable for packet in packets for a in columns(packet)), "an input packet was made writable"


def check_outputs_stay(case: OperatorCase) -> None:
    operator, kept, as_given = case.make(), [], []
    for packet in next(divisions(case.episode)):
        kept.append(operator.process(packet))
        as_given.append(content(kept[-1]))
    operator.finish()
    assert [content(packet) for packet in kept] == as_given, "an output packet changed after it was given out"


def check_new_episode_forgets(case: OperatorCase) -> None:
    make = case.config.prepare(case.upstream)
    first = glue(run(make(None), [case.episode]))
    run(make(None), [case.other_episode])
    assert same_events(glue(run(make(None), [case.episode])), first), "an episode left traces in the next"


def check_instances_are_independent(case: OperatorCase) -> None:
    make = case.config.prepare(case.upstream)
    alone = glue(run(make(None), next(divisions(case.episode))))
    one, other = make(None), make(None)
    outputs, others = [], next(divisions(case.other_episode))
    for number, packet in enumerate(next(divisions(case.episode))):
        outputs.append(one.process(packet))
        other.process(others[number % len(others)]) if number < len(others) else None
    outputs.append(one.finish())
    assert same_events(glue(outputs), alone), "a second instance changed what the first gives"


def check_runs_are_equal(case: OperatorCase) -> None:
    first, second = (glue(run(case.make(), [case.episode])) for _ in range(2))
    assert same_events(first, second), "two runs of one configuration differ"


def check_plain_and_writable_arrays_give_the_same(case: OperatorCase) -> None:
    """No kernel is compiled once `prepare` is done, whether arrays are read-only or not: one signature takes both."""
    make = case.config.prepare(case.upstream)
    prepared = kernel_signatures()
    outputs = [glue(run(make(None), recut(case.episode, []))), glue(run(make(None), [writable(case.episode)]))]
    assert same_events(*outputs), "writable arrays give another output"
    assert kernel_signatures() == prepared, "a kernel was compiled for another signature while packets flowed"


# --- what their snapshots do ---


def check_resume_anywhere(case: OperatorCase) -> None:
    for packets in divisions(case.episode):
        outputs = run(case.make(), packets)
        for stop in spread(len(packets)):
            first = case.make()
            for packet in packets[:stop]:
                first.process(packet)
            resumed = run(case.make(through_file(first.snapshot())), packets[stop:])
            pairs = zip(resumed, outputs[stop:], strict=True)
            assert all(same_events(a, b) for a, b in pairs), f"another output after resuming at packet {stop} of {len(packets)}"


def check_snapshot_changes_nothing(case: OperatorCase) -> None:
    packets = next(divisions(case.episode))
    watched, outputs = case.make(), []
    watched.snapshot()
    for packet in packets:
        outputs.append(watched.process(packet))
        watched.snapshot()
    outputs.append(watched.finish())
    assert same_events(glue(outputs), glue(run(case.make(), packets))), "taking snapshots changed the output"


def check_snapshot_is_detached(case: OperatorCase) -> None:
    packets = next(divisions(case.episode))
    half = len(packets) // 2
    undisturbed = glue(run(case.make(), packets))
    make = case.config.prepare(case.upstream)
    operator = make(None)
    outputs = [operator.process(packet) for packet in packets[:half]]
    state = operator.snapshot()
    taken = state_content(state)
    outputs += run(make(state), packets[half:])
    assert state_content(state) == taken, "going on from a snapshot changed it"
    rest = [operator.process(packet) for packet in packets[half:-1]]
    assert state_content(state) == taken, "going on changed a snapshot taken before"
    for known in (state, operator.snapshot()):
        scribble(known)
    rest += run(operator, packets[-1:])
    assert same_events(glue(outputs), undisturbed), "an operator made from a snapshot gives another output"
    assert same_events(glue(outputs[:half] + rest), undisturbed), "editing a snapshot changed the operator that gave it"


def check_snapshot_keys_are_stable(case: OperatorCase) -> None:
    operator = case.make()
    schema = state_schema(operator.snapshot())
    for packet in next(divisions(case.episode)):
        operator.process(packet)
        assert state_schema(operator.snapshot()) == schema, "a snapshot's keys or types changed on the way"


OPERATOR_CHECKS: tuple[Callable[[OperatorCase], None], ...] = (
    check_recutting_changes_nothing,
    check_an_empty_episode_is_legal,
    check_outputs_meet,
    check_outputs_fit_their_format,
    check_outputs_are_sorted,
    check_finish_gives_all,
    check_input_is_untouched,
    check_outputs_stay,
    check_new_episode_forgets,
    check_instances_are_independent,
    check_runs_are_equal,
    check_plain_and_writable_arrays_give_the_same,
    check_resume_anywhere,
    check_snapshot_changes_nothing,
    check_snapshot_is_detached,
    check_snapshot_keys_are_stable,
)


# --- what every config does ---


def check_config_round_trip(case: Any) -> None:
    text = case.config.model_dump_json()
    assert rebuilt(case, json.loads(text)).model_dump_json() == text, "the config changes on its way through JSON"


def check_unknown_option_is_refused(case: Any) -> None:
    with pytest.raises(ValueError, match="no_such_option"):
        rebuilt(case, json.loads(case.config.model_dump_json()) | {"no_such_option": 1})


def check_config_is_frozen(case: Any) -> None:
    with pytest.raises(ValidationError):
        case.config.type = "another"


def check_options_are_described(case: Any) -> None:
    fields = type(case.config).model_fields
    silent = [name for name, field in fields.items() if name != "type" and not field.description]
    assert not silent, f"options without a description: {silent}"


def check_docstring_shows_units_and_an_example(case: Any) -> None:
    config = type(case.config)
    text = config.__doc__ or ""
    assert re.search(r"\b(us|ms|s|Hz|events?/s|microseconds|pixels)\b", text), "the docstring names no unit"
    assert re.search(r"shape|\(\w+(, ?\w+)*,?\)", text), "the docstring names no shape"
    examples = re.findall(r"\{type: .*\}", text)
    assert examples, "the docstring shows no YAML example, like {type: lif, ...}"
    for example in examples:
        rebuilt(case, YAML(typ="safe").load(example))


def check_misfit_is_refused(case: Any) -> None:
    with pytest.raises(ValueError) as refusal:
        case.config.check(case.misfit)
    assert "\n" not in str(refusal.value).strip(), "the refusal takes more than one line"


CONFIG_CHECKS: tuple[Callable[[Any], None], ...] = (
    check_config_round_trip,
    check_unknown_option_is_refused,
    check_config_is_frozen,
    check_options_are_described,
    check_docstring_shows_units_and_an_example,
)


# --- helpers, in order of use ---


def rebuilt(case: Any, options: dict[str, Any]) -> Any:
    return type(case.config).model_validate(options) if case.rebuild is None else case.rebuild(options)


def run(operator: Operator, packets: list[Packet]) -> list[Packet]:
    """Every output of an episode, that of finish last."""
    return [operator.process(packet) for packet in packets] + [operator.finish()]


def check_events(packet: Packet, format: Format) -> None:
    """Inside its interval and format, on the tick, read-only, and contiguous as kernels and the wire want it."""
    try:
        packet.check(format)
    except ValueError as error:
        raise AssertionError(str(error)) from None
    assert format.tick_us is None or not (packet.t_us % format.tick_us).any(), "events lie off the format's tick"
    settled = all(array.flags.c_contiguous and not array.flags.writeable for array in columns(packet))
    assert settled, "a column is not contiguous and read-only"


def kernel_signatures() -> dict[str, list[Any]]:
    """The compiled signatures of every Numba function of the kernels modules loaded so far. Empty without JIT."""
    modules = [module for name, module in list(sys.modules.items()) if ".kernels." in name and module is not None]
    functions = {f"{module.__name__}.{name}": value for module in modules for name, value in vars(module).items()}
    return {name: list(value.signatures) for name, value in functions.items() if hasattr(value, "nopython_signatures")}
