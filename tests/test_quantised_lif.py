"""quantised_lif: whole numbers times a scale, to the bit: against plain Python, against torch, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import lif, quantised_lif
from pipeline.layer_spec import LIFSpec, QuantisedLIFSpec
from pipeline.layer_spec.quantised_lif import GREATEST, pack, quantise, row_bytes, unpack
from pipeline.model_file import Model, load_model, save_model
from pipeline.packet import Format, Packet
from tests.naive_quantised import quantised_lif as truth
from tests.packets import glue, recut

BITS = sorted(GREATEST)


def codes_of(rng, bits, shape):
    codes = rng.integers(-GREATEST[bits], GREATEST[bits] + 1, shape)
    return np.where(codes == 0, 1, codes) if bits == 1 else codes


def random_spec(rng, bits, n_in=7, n_out=5, tau_ms=20.0, reset="subtract", tick_us=1000, bias=None):
    codes = codes_of(rng, bits, (n_in, n_out))
    scale = rng.uniform(0.2, 0.6, n_out) / GREATEST[bits]
    return QuantisedLIFSpec(pack(codes, bits), scale, tau_ms, 1.0, bits, tick_us, reset, bias)


def random_episode(rng, n_in, n, length_us=30_000):
    return Packet(700, length_us, np.sort(rng.integers(700, length_us, n)), rng.integers(0, n_in, n).astype(np.uint32))


def play(spec, episode, cuts_us=()):
    operator = quantised_lif.make(spec, Format("spikes", (spec.n_in,)))(None)
    out = glue([*(operator.process(packet) for packet in recut(episode, list(cuts_us))), operator.finish()])
    return list(zip(out.t_us.tolist(), out.unit.tolist(), strict=True)), operator.snapshot()["v"][: spec.n_out]


@settings(deadline=None, derandomize=True, max_examples=80)
@given(st.integers(0, 2**32 - 1), st.sampled_from(BITS), st.sampled_from(["subtract", "to_zero"]), st.booleans(),
       st.sampled_from(["tick", "tick", "bias", "event mode"]), st.sampled_from([1, 5, 64, 66, 130]),
       st.lists(st.integers(700, 30_000), max_size=6))  # fmt: skip
def test_it_equals_the_plain_truth_bit_for_bit(seed, bits, reset, one_tau, kind, n_out, cuts_us):
    rng = np.random.default_rng(seed)
    tau_ms = 20.0 if one_tau else rng.choice([0.0, 0.3, 20, np.inf], n_out)
    bias = rng.choice([-0.1, 0, 0.01, 0.2], n_out) if kind == "bias" else None
    spec = random_spec(rng, bits, 7, n_out, tau_ms, reset, None if kind == "event mode" else 1000, bias)
    episode = random_episode(rng, 7, int(rng.integers(0, 300)))
    spikes, v = truth(spec, episode)
    ours, our_v = play(spec, episode, cuts_us)
    assert ours == spikes
    assert our_v.tobytes() == np.array(v, np.float32).tobytes()


@pytest.mark.parametrize("bits", BITS)
def test_a_tick_of_very_many_spikes_overflows_nothing(bits):
    rng = np.random.default_rng(bits)
    spec = QuantisedLIFSpec(pack(np.full((2, 3), GREATEST[bits]), bits), np.full(3, 0.25), 20.0, 1e8, bits, 1000)
    episode = Packet(0, 1000, np.sort(rng.integers(0, 1000, 70_000)), np.zeros(70_000, np.uint32))
    assert play(spec, episode, [300, 301])[1].tolist() == [0.25 * 70_000 * GREATEST[bits]] * 3


def test_the_order_of_a_ticks_spikes_changes_no_bit():
    rng = np.random.default_rng(1)
    spec, episode = random_spec(rng, 8), Packet(0, 1000, np.zeros(40, np.int64), rng.integers(0, 7, 40).astype(np.uint32))
    turned = Packet(0, 1000, episode.t_us, episode.unit[::-1].copy())
    assert play(spec, episode)[1].tobytes() == play(spec, turned)[1].tobytes()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("n_out", [1, 7, 8, 9, 65])
def test_packing_keeps_every_code_in_so_many_bits(bits, n_out):
    codes = codes_of(np.random.default_rng(n_out), bits, (6, n_out))
    assert pack(codes, bits).shape == (6, row_bytes(n_out, bits))
    assert (unpack(pack(codes, bits), n_out, bits) == codes).all()


def test_one_bit_weights_take_a_thirty_second_of_the_bytes():
    weight = np.random.default_rng(0).normal(size=(700, 128)).astype(np.float32)
    assert pack(quantise(weight, 1)[0], 1).nbytes * 32 == weight.nbytes


def test_eight_bits_come_near_to_the_float_layer():
    rng = np.random.default_rng(3)
    weight = rng.normal(0.1, 0.3, (20, 30))
    codes, scale = quantise(weight, 8)
    assert np.abs(codes * scale - weight).max() <= scale.max() / 2 + 1e-7
    episode = random_episode(rng, 20, 400)
    float_layer = lif.make(LIFSpec(weight, 20.0, 1.0, 1000), Format("spikes", (20,)))(None)
    assert float_layer.process(episode).n == pytest.approx(len(play(QuantisedLIFSpec(pack(codes, 8), scale, 20.0, 1.0, 8, 1000),
                                                                    episode)[0]), rel=0.05)  # fmt: skip


def test_a_model_file_keeps_it(tmp_path):
    spec = random_spec(np.random.default_rng(0), 4)
    save_model(tmp_path / "m.safetensors", Model(Format("spikes", (7,)), {"hidden": spec}))
    again = load_model(tmp_path / "m.safetensors").layers["hidden"]
    assert (again.bits, again.packed.tobytes(), again.scale.tobytes()) == (4, spec.packed.tobytes(), spec.scale.tobytes())


@pytest.mark.parametrize(("change", "complaint"), [
    ({"bits": 3}, "bits must be 1, 2"),
    ({"packed": np.zeros((7, 2), np.uint8)}, r"uint8 of shape \(n_in, 1\) for 5 units of 1 bits"),
    ({"packed": np.full((7, 1), 255, np.uint8)}, "bits behind the last unit"),
    ({"scale": np.zeros(5)}, "scale must be above 0"),
    ({"tick_us": None, "bias": np.ones(5)}, "event mode .* has none"),
])  # fmt: skip
def test_a_spec_that_cannot_be_is_refused(change, complaint):
    good = {"packed": np.zeros((7, 1), np.uint8), "scale": np.ones(5), "tau_ms": 1.0, "threshold": 1.0, "bits": 1}
    good["tick_us"] = 1000
    QuantisedLIFSpec(**good)
    with pytest.raises(ValueError, match=complaint):
        QuantisedLIFSpec(**good | change)


def test_graded_events_are_refused():
    with pytest.raises(ValueError, match="takes spikes alone, got graded"):
        quantised_lif.make(random_spec(np.random.default_rng(0), 1), Format("graded", (7,)))


# --- torch ---


@pytest.mark.parametrize("bits", BITS)
def test_torch_computing_scale_times_x_at_codes_gives_the_same_spikes_and_nothing_is_borderline(bits):
    torch = pytest.importorskip("torch")
    from trainer.layers import build
    from trainer.parity import binned

    rng = np.random.default_rng(bits)
    for reset in ("subtract", "to_zero"):
        spec = random_spec(rng, bits, 12, 20, rng.uniform(2, 30, 20), reset)
        ticks = np.sort(rng.integers(0, 200, 1500)) * 1000
        episode = Packet(0, 200_000, ticks, rng.integers(0, 12, 1500).astype(np.uint32))
        x = binned(episode, 1000, 12)
        v, d = torch.zeros(20), torch.from_numpy(spec.decay())
        scale, threshold, codes = (torch.tensor(a) for a in (spec.scale, spec.threshold, spec.codes().astype(np.float32)))
        spikes = []
        for k, tick in enumerate(scale * (x[:, 0] @ codes)):
            v = d * v + tick
            fired = v >= threshold
            spikes += [(k * 1000, j) for j in fired.nonzero()[:, 0].tolist()]
            v = v - threshold * fired if reset == "subtract" else v.masked_fill(fired, 0.0)
        ours, our_v = play(spec, episode)
        assert ours == spikes
        assert our_v.tobytes() == v.numpy().tobytes()
        module = build(spec, 1000).eval()(x)[:, 0].nonzero()
        assert [(k * 1000, j) for k, j in module.tolist()] == ours


def test_a_bias_drives_the_torch_module_as_it_does_the_operator():
    pytest.importorskip("torch")
    from trainer.layers import build
    from trainer.parity import binned

    rng = np.random.default_rng(6)
    spec = random_spec(rng, 1, 12, 20, rng.uniform(2, 30, 20), bias=rng.uniform(-0.1, 0.2, 20))
    episode = Packet(0, 200_000, np.sort(rng.integers(0, 200, 900)) * 1000, rng.integers(0, 12, 900).astype(np.uint32))
    module = build(spec, 1000)
    ours = play(spec, episode)[0]
    assert [(k * 1000, j) for k, j in module.eval()(binned(episode, 1000, 12))[:, 0].nonzero().tolist()] == ours
    assert module.spec().bias.tobytes() == spec.bias.tobytes()


def test_a_recipe_keeps_the_bias_of_the_float_layer_that_it_starts_from():
    pytest.importorskip("torch")
    from trainer.recipe_quantised import QuantisedLIFLayer

    plain = LIFSpec(np.random.default_rng(0).normal(size=(6, 5)), 20.0, 1.0, 1000, bias=np.linspace(-0.1, 0.1, 5))
    spec, options = QuantisedLIFLayer(name="hidden", units=5).quantised(plain, {})
    assert spec.bias.tobytes() == plain.bias.tobytes()
    assert options["weight"] is plain.weight


@pytest.mark.parametrize("bits", BITS)
def test_the_torch_module_trains_and_exports_what_it_was_built_from(bits):
    torch = pytest.importorskip("torch")
    from trainer.layers import build

    torch.manual_seed(0)
    spec = random_spec(np.random.default_rng(5), bits, 10, 6)
    layer = build(spec, 1000, learn_scale=True)
    assert layer.spec().packed.tobytes() == spec.packed.tobytes()
    assert layer.spec().scale.tobytes() == spec.scale.tobytes()
    x = (torch.rand(40, 8, 10) < 0.2).float()
    wanted = torch.rand(8, 6) * 10
    optimiser = torch.optim.Adam(layer.parameters(), 0.02)
    losses = []
    for _ in range(40):
        loss = ((layer(x).sum(0) - wanted) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert min(losses) < 0.9 * losses[0]
    assert np.abs(layer.spec().codes()).max() <= GREATEST[bits]
