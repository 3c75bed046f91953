"""Parity: plain Python, the runtime's kernels and the trained modules do the same, spike for spike."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from pipeline.chain import Chain  # noqa: E402
from pipeline.layer_spec import DelaySpec, LIFSpec, ReadoutSpec  # noqa: E402
from pipeline.model_file import Model, load_model  # noqa: E402
from pipeline.packet import Format, Packet, same_events  # noqa: E402
from tests import naive  # noqa: E402
from tests.packets import recording  # noqa: E402
from trainer.layers import LIF  # noqa: E402
from trainer.parity import Difference, binned, check, compare_spikes, runtime  # noqa: E402

MODELS = Path(__file__).parent.parent / "configs" / "models"
TICK_US = 2000


def plain(spec, upstream, packet):
    """What tests/naive.py makes of a whole episode."""
    if isinstance(spec, LIFSpec):
        spikes, _ = naive.lif(spec, packet)
        events = [(t_us, unit, 1) for t_us, unit in spikes]
        begin_us, end_us = packet.begin_us // spec.tick_us * spec.tick_us, -(-packet.end_us // spec.tick_us) * spec.tick_us
    elif isinstance(spec, DelaySpec):
        events, begin_us, end_us = naive.delay(spec, packet), packet.begin_us, packet.end_us + int(spec.delay_us.max())
    else:
        found = naive.readout(spec, packet)
        events = [(t_us, c, value) for t_us, scores in found for c, value in enumerate(scores)]
        begin_us, end_us = packet.begin_us, packet.end_us
    t_us, unit, value = (np.array([e[k] for e in events], kind) for k, kind in enumerate((np.int64, np.uint32, np.float32)))
    return Packet(begin_us, end_us, t_us, unit, value if isinstance(spec, ReadoutSpec) else None)


def random_model(seed, score="spike_count", reset="subtract", bias=False):
    rng = np.random.default_rng(seed)
    n, hidden, second, classes = rng.integers(2, 9, 4)
    integrates = score != "spike_count"

    def lif(n_in, n_out):
        drive = rng.uniform(0, 0.05, n_out) if bias else None
        tau_ms, threshold = rng.uniform(1, 30, n_out), rng.uniform(0.4, 1.5, n_out)
        return LIFSpec(rng.normal(0.2, 0.6, (n_in, n_out)), tau_ms, threshold, TICK_US, reset, drive)

    layers = {
        "hidden": lif(n, hidden),
        "late": DelaySpec(rng.integers(0, 12, hidden) * TICK_US),
        "second": lif(hidden, second),
        "out": ReadoutSpec(score, tuple(map(str, range(classes))), rng.normal(size=(second, classes)), rng.normal(size=classes),
                           rng.uniform(5, 50, classes) if integrates else None, TICK_US if integrates else None, 1.3),
    }
    return Model(Format("spikes", (int(n),)), layers)


@pytest.mark.parametrize("run", [plain, runtime])
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), score=st.sampled_from(["spike_count", "membrane", "max_membrane", "softmax_sum"]),
       reset=st.sampled_from(["subtract", "to_zero"]), bias=st.booleans())
def test_random_networks_agree_spike_for_spike(run, seed, score, reset, bias):
    model = random_model(seed, score, reset, bias)
    episodes = [recording(model.input, seed + k, n=120, begin_us=3_700 * k, length_us=41_300) for k in range(2)]
    report = check(model, episodes, run)
    assert report.equal, str(report)
    assert report.scores < 1e-5
    assert not report.decided_otherwise


def test_plain_python_and_kernels_are_bit_identical_on_a_random_network():
    model = random_model(7)
    packet, format = recording(model.input, 1), model.input
    for spec in list(model.layers.values())[:-1]:
        one, other = plain(spec, format, packet), runtime(spec, format, packet)
        assert same_events(dataclasses.replace(one, value=None), dataclasses.replace(other, value=None))
        packet, format = other, Format("spikes", (spec.n_out,))


def test_a_wrong_spike_is_found_and_not_excused():
    spec = LIFSpec(np.array([[0.6]]), np.array([np.inf]), np.array([1.0]), TICK_US)
    model = Model(Format("spikes", (1,)), {"hidden": spec, "out": ReadoutSpec("spike_count", ("a", "b"), np.ones((1, 2)))})
    packet = Packet(0, 5 * TICK_US, np.arange(5) * TICK_US, np.zeros(5, np.uint32))

    def a_tick_late(spec, upstream, packet):
        out = runtime(spec, upstream, packet)
        return dataclasses.replace(out, t_us=out.t_us + TICK_US) if isinstance(spec, LIFSpec) else out

    assert check(model, [packet]).equal
    report = check(model, [dataclasses.replace(packet, end_us=6 * TICK_US)], a_tick_late)
    assert not report.equal
    assert "beyond" in str(report)


def test_a_borderline_spike_is_counted_and_the_reference_followed():
    layer = LIF(LIFSpec(np.array([[0.5]]), np.array([np.inf]), np.array([1 + 1e-6]), TICK_US))
    x = torch.ones(5, 1, 1)  # v: 0.5, 1.0 (just below the threshold: no spike here, one in the reference), ...
    reference = torch.tensor([0.0, 1, 0, 1, 0]).reshape(5, 1, 1)
    found = compare_spikes(layer, x, reference, 3, "hidden")
    assert [(d.episode, d.layer, d.tick, d.unit) for d in found] == [(3, "hidden", 1, 0), (3, "hidden", 3, 0)]
    assert all(difference.borderline for difference in found)


def test_what_is_borderline_grows_with_the_largest_v_of_the_neuron():
    assert Difference(0, "hidden", 0, 0, distance=5e-5, border=1e-5 * 10).borderline
    assert not Difference(0, "hidden", 0, 0, distance=5e-5, border=1e-5).borderline


def test_a_moved_delay_is_found():
    model = random_model(3)

    def late_by_a_tick(spec, upstream, packet):
        longer = DelaySpec(spec.delay_us + TICK_US) if isinstance(spec, DelaySpec) else spec
        return runtime(longer, upstream, packet)

    report = check(model, [recording(model.input, 1, begin_us=0)], late_by_a_tick)
    assert report.moved == ["late"]
    assert not report.equal


def test_an_episode_that_begins_late_is_binned_from_its_first_tick():
    packet = Packet(5000, 9000, np.array([5000, 6000]), np.array([1, 0], np.uint32))
    assert binned(packet, 2000, 2)[:, 0].tolist() == [[0, 1], [1, 0], [0, 0]]


def encoded(episodes, operators, format):
    """Episodes as a shipped model receives them."""
    from trainer.data import nodes

    chain = Chain(nodes(operators, format)[0])
    return [chain.push(episode) for episode in episodes]


def agrees(model, episodes, plain_episodes):
    report = check(model, episodes)
    assert report.equal, str(report)
    assert report.scores < 1e-4
    assert not report.decided_otherwise, str(report)
    assert all(count > 0 for count in report.spikes.values())
    report = check(model, episodes[:plain_episodes], plain)
    assert report.equal, str(report)


def test_the_shipped_motion_model_agrees_spike_for_spike():
    from operators.crop_pool import CropPoolConfig
    from sources.dvs_scene import DvsSceneConfig
    from trainer.data import episodes

    model = load_model(MODELS / "motion.safetensors")
    found, format = episodes(DvsSceneConfig(seed=77, episodes=12))
    agrees(model, encoded(found, [CropPoolConfig(to=model.input.shape)], format), 1)


def test_the_shipped_nmnist_model_agrees_spike_for_spike():
    folder = os.environ.get("SPIKELINE_DATA")
    if not folder:
        pytest.skip("set SPIKELINE_DATA to a folder that holds nmnist/Test/<digit>/*.bin (N-MNIST, Orchard et al. 2015)")
    from operators.crop_pool import CropPoolConfig
    from sources.dvs_dataset import DvsDatasetConfig
    from trainer.data import episodes

    model = load_model(MODELS / "nmnist.safetensors")
    found, format = episodes(DvsDatasetConfig(path=Path(folder) / "nmnist" / "Test", shuffle=True, limit=20))
    agrees(model, encoded(found, [CropPoolConfig(to=model.input.shape)], format), 1)
