from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.crop_pool import CropPoolConfig
from operators.polarity import PolarityConfig
from operators.refractory import RefractoryConfig
from operators.residual import ResidualConfig
from pipeline.chain import Chain
from pipeline.contract import Operator, OperatorConfig, State
from pipeline.packet import Format, Packet
from tests import naive_filters as naive
from tests.filtering import cuts, events_of, few, filtered, packet_of, recordings, spikes
from tests.naive_filters import Event

CELLS = Format("spikes", (5,), names=("left", "right"))


class ShiftConfig(OperatorConfig):
    """Moves every event by shift_us. Its clock runs ahead by that much, like a delay's, but lags by lag_us until the end."""

    type: Literal["shift"] = "shift"
    shift_us: int = 0
    lag_us: int = 0

    def check(self, upstream: Format) -> Format:
        return upstream

    def prepare(self, upstream: Format) -> Callable[[State | None], Operator]:
        return lambda state: Shift(self, state)


class Shift:
    def __init__(self, config: ShiftConfig, state: State | None) -> None:
        self.config = config
        self.t_us = state["t_us"].copy() if state else np.empty(0, np.int64)
        self.unit = state["unit"].copy() if state else np.empty(0, np.uint32)
        self.value = state["value"].copy() if state else np.empty(0, np.float32)
        self.input_end_us, self.graded = (int(n) for n in state["clock"][:2]) if state else (0, 0)
        self.reached_us: int | None = int(state["clock"][2]) if state else None

    def process(self, packet: Packet) -> Packet:
        self.graded = packet.value is not None
        order = np.lexsort((packet.unit, packet.t_us))
        self.t_us = np.append(self.t_us, packet.t_us[order] + self.config.shift_us)
        self.unit = np.append(self.unit, packet.unit[order])
        self.value = np.append(self.value, (np.zeros(packet.n, np.float32) if packet.value is None else packet.value)[order])
        self.input_end_us = packet.end_us
        if self.reached_us is None:
            self.reached_us = packet.begin_us
        return self.until(packet.end_us + self.config.shift_us - self.config.lag_us)

    def finish(self) -> Packet:
        return self.until(self.input_end_us + self.config.shift_us)

    def until(self, end_us: int) -> Packet:
        assert self.reached_us is not None
        begin_us, self.reached_us = self.reached_us, max(self.reached_us, end_us)
        at = int(self.t_us.searchsorted(self.reached_us))
        out = self.t_us[:at].copy(), self.unit[:at].copy(), self.value[:at].copy() if self.graded else None
        self.t_us, self.unit, self.value = self.t_us[at:], self.unit[at:], self.value[at:]
        return Packet(begin_us, self.reached_us, *out)

    def snapshot(self) -> State:
        clock = np.array([self.input_end_us, self.graded, self.reached_us or 0])
        return {"t_us": self.t_us.copy(), "unit": self.unit.copy(), "value": self.value.copy(), "clock": clock}


def run(body: list[OperatorConfig], *packets: Packet) -> list[Packet]:
    operator = ResidualConfig(body=body).prepare(CELLS)(None)
    return [operator.process(packet) for packet in packets] + [operator.finish()]


def interval(packet: Packet) -> tuple[int, int]:
    return packet.begin_us, packet.end_us


def test_the_output_is_what_the_body_gives_and_the_input_itself() -> None:
    events = packet_of(CELLS, [(1, 3), (4, 3), (9, 3)], 0, 10)
    out, rest = run([RefractoryConfig(period_ms=0.005)], events)
    assert spikes(out) == [(1, 3), (1, 3), (4, 3), (9, 3), (9, 3)]
    assert rest.n == 0


def test_the_events_of_one_microsecond_come_out_in_order_of_their_unit() -> None:
    out, _ = run([RefractoryConfig(period_ms=0.005)], packet_of(CELLS, [(1, 4), (1, 0), (2, 0), (2, 3)], 0, 10))
    assert spikes(out) == [(1, 0), (1, 0), (1, 4), (1, 4), (2, 0), (2, 3), (2, 3)]


def test_what_a_delay_gives_ahead_of_the_input_is_held_back() -> None:
    first, second, rest = run([ShiftConfig(shift_us=6)], packet_of(CELLS, [(1, 0)], 0, 5), packet_of(CELLS, [(7, 1)], 5, 10))
    assert (interval(first), spikes(first)) == ((0, 5), [(1, 0)])
    assert (interval(second), spikes(second)) == ((5, 10), [(7, 0), (7, 1)])
    assert (interval(rest), spikes(rest)) == ((10, 16), [(13, 1)])


def test_the_input_is_held_back_where_the_body_lags() -> None:
    first, second, rest = run([ShiftConfig(lag_us=3)], packet_of(CELLS, [(1, 0), (3, 2)], 0, 5), packet_of(CELLS, [], 5, 9))
    assert (interval(first), spikes(first)) == ((0, 2), [(1, 0), (1, 0)])
    assert (interval(second), spikes(second)) == ((2, 6), [(3, 2), (3, 2)])
    assert (interval(rest), spikes(rest)) == ((6, 9), [])


def test_the_end_flushes_one_delay_through_the_next() -> None:
    outputs = run([ShiftConfig(shift_us=6), ShiftConfig(shift_us=20, lag_us=20)], packet_of(CELLS, [(1, 0)], 0, 5))
    assert [spikes(out) for out in outputs] == [[(1, 0)], [(27, 0)]]
    assert [interval(out) for out in outputs] == [(0, 5), (5, 31)]


def test_equal_graded_events_of_the_input_come_before_those_of_the_body() -> None:
    pixels = Format("graded", (3,))
    negate = CropPoolConfig(to=[3])
    out = filtered(ResidualConfig(body=[negate]), pixels, packet_of(pixels, [(5, 2), (5, 1), (5, 2)], 0, 10))
    assert events_of(out) == [(5, 1, 1.0), (5, 1, 1.0), (5, 2, 0.0), (5, 2, 2.0), (5, 2, 0.0), (5, 2, 2.0)]


def test_a_residual_may_stand_in_a_residual() -> None:
    inner = ResidualConfig(body=[RefractoryConfig(period_ms=1)])
    out, _ = run([inner], packet_of(CELLS, [(1, 0), (2, 0)], 0, 10))
    assert spikes(out) == [(1, 0)] * 3 + [(2, 0)] * 2


def test_in_a_chain_it_ends_its_episode_and_forgets_it() -> None:
    chain = Chain([(ResidualConfig(body=[RefractoryConfig(period_ms=1), ShiftConfig(shift_us=2)]), CELLS)])
    for episode in range(2):
        packet = packet_of(CELLS, [(1, 0), (8, 0)], 0, 10)
        out = chain.push(Packet(0, 10, packet.t_us, packet.unit, episode=episode, last=True))
        assert (spikes(out), interval(out), out.episode, out.last) == ([(1, 0), (3, 0), (8, 0)], (0, 12), episode, True)


def test_an_operator_from_outside_that_breaks_its_promise_is_stopped() -> None:
    with pytest.raises(ValueError, match="unit 4 lies outside of spikes of shape 2"):
        run([LiarConfig(), WidenConfig()], packet_of(CELLS, [(1, 4)], 0, 10))


class LiarConfig(ShiftConfig):
    """Promises fewer units than it gives to the next operator."""

    def check(self, upstream: Format) -> Format:
        return Format("spikes", (2,))


class WidenConfig(ShiftConfig):
    """Gives the units of CELLS, whatever it gets."""

    def check(self, upstream: Format) -> Format:
        return CELLS


def test_names_stay_and_the_grid_is_the_one_that_both_lie_on() -> None:
    ticking = Format("spikes", (5,), tick_us=1500, names=("left", "right"))
    assert ResidualConfig(body=[ShiftConfig()]).check(CELLS) == CELLS
    assert ResidualConfig(body=[ShiftConfig()]).check(ticking) == ticking
    assert ResidualConfig(body=[OnTickConfig()]).check(ticking).tick_us == 500
    assert ResidualConfig(body=[OnTickConfig()]).check(CELLS).tick_us is None


class OnTickConfig(OperatorConfig):
    """Says that its output lies on a tick of 1 ms."""

    type: Literal["on_tick"] = "on_tick"

    def check(self, upstream: Format) -> Format:
        return Format(upstream.kind, upstream.shape, tick_us=1000)


def test_a_body_that_changes_the_shape_is_refused() -> None:
    dvs = Format("spikes", (2, 4, 4))
    with pytest.raises(ValueError) as error:
        ResidualConfig(body=[CropPoolConfig(to=[2, 2, 2])]).check(dvs)
    assert str(error.value) == (
        "residual: the body turns spikes of shape 2x4x4 into spikes of shape 2x2x2; the shortcut needs one kind and shape"
    )


def test_an_operator_of_the_body_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"residual: body\[1\]: polarity takes"):
        ResidualConfig(body=[RefractoryConfig(), PolarityConfig()]).check(CELLS)


def test_decisions_are_refused() -> None:
    with pytest.raises(ValueError, match="residual"):
        ResidualConfig(body=[ShiftConfig()]).check(Format("decisions", (3,)))


def test_a_body_needs_operators_that_are_known() -> None:
    with pytest.raises(ValidationError):
        ResidualConfig(body=[])
    with pytest.raises(ValidationError, match="is not an operator"):
        ResidualConfig(body=[{"type": "no_such"}])


def test_a_config_is_written_out_with_the_options_of_its_body() -> None:
    config = ResidualConfig(body=[RefractoryConfig(period_ms=3)])
    assert config.model_dump() == {"type": "residual", "body": ({"type": "refractory", "period_ms": 3.0},)}


@few
@given(st.data(), st.sampled_from(["spikes", "graded"]), st.integers(0, 12), st.integers(0, 12))
def test_it_is_the_plain_truth_however_the_recording_is_cut(data: st.DataObject, kind: str, shift_us: int, lag_us: int) -> None:
    format = Format(kind, (4,))  # type: ignore[arg-type]
    episode = data.draw(recordings(format, span_us=20))

    def body(events: list[Event]) -> list[Event]:
        return [(t_us + shift_us, unit, value) for t_us, unit, value in naive.in_order(events)]

    out = filtered(ResidualConfig(body=[ShiftConfig(shift_us=shift_us, lag_us=lag_us)]), format, episode, data.draw(cuts()))
    assert events_of(out) == naive.residual(events_of(episode), body)
    assert interval(out) == (episode.begin_us, episode.end_us + shift_us)


@few
@given(st.data())
def test_a_body_of_filters_is_the_plain_truth_however_the_recording_is_cut(data: st.DataObject) -> None:
    episode = data.draw(recordings(CELLS))
    out = filtered(ResidualConfig(body=[RefractoryConfig(period_ms=0.004)]), CELLS, episode, data.draw(cuts()))
    assert events_of(out) == naive.residual(events_of(episode), lambda events: naive.refractory(events, 4))
