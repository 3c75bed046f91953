"""The shell of tick layers: with the law of lif it does what lif does; and what it does for layers unlike lif."""

import numpy as np
import pytest

from operators import lif
from operators.tick_layer import CURSOR, LAST, OPEN, STOP, UNSETTLED, operators_of
from pipeline.layer_spec import LIFSpec
from pipeline.packet import Format, Packet, same_events
from tests.packets import divisions, glue, recording

THREE = Format("spikes", (3,))


class LIFLaw:
    """lif on a tick, without bias, in plain Python."""

    tail_ticks, graded, restless = 0, False, False

    def __init__(self, spec):
        self.spec = spec
        self.n_out = self.operations = spec.n_out
        self.tick_us = spec.tick_us

    def start(self):
        return {"v": np.zeros(self.n_out, np.float32)}

    def run(self, held, clock, events, room):
        v, spec, written = held["v"], self.spec, 0
        while written + self.n_out <= len(room.t_us):
            at = clock[CURSOR]
            if not clock[OPEN]:
                tick = events.t_us[at] // self.tick_us if at < len(events.t_us) else clock[STOP]
                tick = clock[LAST] + 1 if clock[UNSETTLED] else tick
                if tick > clock[STOP] or (tick == clock[STOP] and at == len(events.t_us)):
                    break
                v *= (spec.decay().astype(float) ** int(tick - clock[LAST])).astype(np.float32)
                clock[LAST], clock[OPEN] = tick, True
            while clock[CURSOR] < len(events.t_us) and events.t_us[clock[CURSOR]] // self.tick_us == clock[LAST]:
                v += spec.weight[events.unit[clock[CURSOR]]]
                clock[CURSOR] += 1
            if clock[LAST] >= clock[STOP]:
                break
            fired = np.flatnonzero(v >= spec.threshold)
            place = slice(written, written + len(fired))
            room.t_us[place], room.unit[place] = clock[LAST] * self.tick_us, fired
            written += len(fired)
            v[fired] -= spec.threshold[fired]
            clock[OPEN], clock[UNSETTLED] = False, (v >= spec.threshold).any()
        return written


class TailLaw:
    """Gives the number of events of every tick that has some, two ticks later, as the value of unit 0."""

    n_out, operations, tick_us, tail_ticks, graded, restless = 1, 0, 1000, 2, True, False

    def start(self):
        return {"counts": np.zeros(3, np.float32)}

    def run(self, held, clock, events, room):
        written = 0
        counts = held["counts"]
        for tick in range(clock[LAST] + (0 if clock[OPEN] else 1), clock[STOP] + 1):
            if not (clock[OPEN] and tick == clock[LAST]):
                counts[:] = (0, *counts[:2])
            while clock[CURSOR] < len(events.t_us) and events.t_us[clock[CURSOR]] < (tick + 1) * self.tick_us:
                counts[0] += 1
                clock[CURSOR] += 1
            clock[LAST], clock[OPEN] = tick, True
            if tick < clock[STOP] and counts[2]:
                room.t_us[written], room.unit[written], room.value[written] = tick * self.tick_us, 0, counts[2]
                written += 1
        return written


def play(make, packets):
    operator = make(None)
    return glue([*(operator.process(packet) for packet in packets), operator.finish()])


@pytest.mark.parametrize("tick_us", [1000, 1700])
def test_with_the_law_of_lif_it_is_lif(tick_us):
    rng = np.random.default_rng(2)
    spec = LIFSpec(rng.normal(0.2, 0.7, (3, 5)), rng.uniform(1, 20, 5), 1.0, tick_us)
    episode, law = recording(THREE, 4), LIFLaw(spec)
    for packets in divisions(episode):
        own, shell = lif.make(spec, THREE)(None), operators_of(law)(None)
        for packet in packets:
            assert same_events(own.process(packet), shell.process(packet))
            shell = operators_of(law)(shell.snapshot())
            assert shell.snapshot()["v"].tobytes() == own.snapshot()["v"].tobytes()
        assert own.report() == shell.report()
        assert same_events(own.finish(), shell.finish())
    assert own.report()["spikes"] > 20


def test_the_ticks_that_a_layer_runs_on_after_an_episode_come_out_at_finish():
    out = play(operators_of(TailLaw()), [Packet(0, 4500, np.array([100, 200, 4400]), np.zeros(3, np.uint32))])
    assert out.end_us == 7000
    assert list(zip(out.t_us.tolist(), out.value.tolist(), strict=True)) == [(2000, 2), (6000, 1)]


def test_a_graded_layer_has_values_in_empty_packets_too():
    out = operators_of(TailLaw())(None).process(Packet(0, 0))
    assert out.value is not None
