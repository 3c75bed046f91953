"""The torch module of conv_lif: parity with the runtime and the plain truth, learning, what it folds, and what it exports."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from pipeline.layer_spec import ConvLIFSpec, LIFSpec, ReadoutSpec  # noqa: E402
from pipeline.model_file import Model, load_model, save_model  # noqa: E402
from pipeline.packet import Format, Packet  # noqa: E402
from tests import naive_conv  # noqa: E402
from tests.packets import recording  # noqa: E402
from tests.test_parity_torch import plain as plain_dense  # noqa: E402
from trainer.fold import fold_batch_norm  # noqa: E402
from trainer.layers import ConvLIF, build  # noqa: E402
from trainer.network import Network  # noqa: E402
from trainer.parity import check, runtime  # noqa: E402

TICK_US = 2000


def conv_spec(seed=0, **other):
    rng = np.random.default_rng(seed)
    options = {"tau_ms": rng.uniform(5, 30, 4), "threshold": rng.uniform(0.5, 1.5, 4), "shape_in": (2, 6, 5), "tick_us": TICK_US}
    return ConvLIFSpec(rng.normal(0.15, 0.4, (4, 2, 3, 3)), **options | other)


def counts(spec, ticks=8, width=3, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).poisson(0.3, (ticks, width, spec.n_in)).astype(np.float32))


def plain(spec, upstream, packet):
    if not isinstance(spec, ConvLIFSpec):
        return plain_dense(spec, upstream, packet)
    t_us, unit = np.array(naive_conv.conv_lif(spec, packet)[0], np.int64).reshape(-1, 2).T
    begin_us, end_us = packet.begin_us // spec.tick_us * spec.tick_us, -(-packet.end_us // spec.tick_us) * spec.tick_us
    return Packet(begin_us, end_us, np.ascontiguousarray(t_us), unit.astype(np.uint32))


def random_model(seed):
    rng = np.random.default_rng(seed)
    pool = [{}, {"pool_size": 2, "pool_stride": 1}, {"pool_size": 2}][rng.integers(3)]
    bias = rng.uniform(-0.05, 0.05, 4) if rng.random() < 0.4 else None
    groups = int(rng.choice([1, 2]))
    reset = str(rng.choice(["subtract", "to_zero"]))
    first = ConvLIFSpec(rng.normal(0.2, 0.6, (4, 2 // groups, 3, 2)), rng.uniform(1, 30, 4), rng.uniform(0.4, 1.5, 4), (2, 7, 6),
                        int(rng.integers(1, 3)), int(rng.integers(0, 2)), int(rng.integers(1, 3)), groups, **pool,
                        tick_us=TICK_US, reset=reset, bias=bias)
    second = ConvLIFSpec(rng.normal(0.2, 0.4, (3, 4, 2, 2)), 15.0, 1.0, first.shape_out, padding=1, tick_us=TICK_US)
    return Model(Format("spikes", (2, 7, 6)), {
        "first": first, "second": second,
        "out": ReadoutSpec("spike_count", ("a", "b"), rng.normal(size=(second.n_out, 2))),
    })


@pytest.mark.parametrize(("run", "examples"), [(plain, 4), (runtime, 15)])
def test_random_networks_agree_spike_for_spike(run, examples):
    @settings(max_examples=examples, deadline=None, derandomize=True)
    @given(seed=st.integers(0, 2**32 - 1))
    def agree(seed):
        model = random_model(seed)
        episode = recording(model.input, seed, n=150, begin_us=3_700, length_us=41_300)
        report = check(model, [episode], run)
        assert report.equal, str(report)
        assert report.scores < 1e-5
    agree()


def test_random_networks_are_not_silent():
    model = random_model(3)
    report = check(model, [recording(model.input, 1, n=150, length_us=41_300)])
    assert min(report.spikes.values()) > 50


@pytest.mark.parametrize("spec", [conv_spec(), conv_spec(bias=np.full(4, 0.01), reset="to_zero", stride=(2, 1)),
                                  conv_spec(pool_size=2, padding=1, dilation=2)])
def test_a_module_returns_the_spec_it_was_built_from(spec):
    back = build(spec, TICK_US).spec()
    for field in dataclasses.fields(spec):
        assert np.array_equal(getattr(back, field.name), getattr(spec, field.name)), field.name


@pytest.mark.parametrize("options", [
    {}, {"batch_norm": True}, {"normalised": True}, {"learn_tau": True, "learn_threshold": True},
])
def test_a_step_down_the_gradient_lowers_the_loss(options):
    spec = conv_spec(pool_size=2, threshold=np.full(4, 0.3 if "normalised" in options else 1.0))
    layer = ConvLIF(spec, **options)
    x, wanted = counts(spec), torch.tensor([0.3, 0.1, 0.5, 0.2]).repeat_interleave(spec.n_out // 4)

    def loss():
        return ((layer(x).mean((0, 1)) - wanted) ** 2).sum()

    before = loss()
    before.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in layer.parameters())
    torch.optim.SGD(layer.parameters(), 0.2).step()
    assert loss() < before


def test_batch_normalisation_is_exported_folded_and_runs_the_same():
    spec = conv_spec(3, padding=1, pool_size=2)
    layer = ConvLIF(spec, batch_norm=True)
    with torch.no_grad():
        for seed in range(20):
            layer(counts(spec, seed=seed))
        layer.norm.weight.mul_(torch.tensor([1.0, -0.7, 1.3, 0.5]))
        layer.norm.bias.add_(torch.tensor([0.02, 0.1, -0.3, 0.05]))
    layer.eval()
    out = layer.spec()
    norm = layer.norm
    by_hand = fold_batch_norm(spec, norm.running_mean.numpy(), norm.running_var.numpy(), norm.weight.detach().numpy(),
                              norm.bias.detach().numpy(), norm.eps)
    assert np.allclose(out.weight, by_hand.weight, rtol=1e-5)
    assert np.allclose(out.bias, by_hand.bias, atol=1e-6)
    x = counts(spec, seed=77)
    image = torch.nn.functional.conv2d(x.reshape(-1, *spec.shape_in), layer.weight, None, spec.stride, spec.padding)
    separate = torch.nn.functional.max_pool2d(norm(image), 2).reshape(8, 3, -1)
    assert torch.allclose(layer.current(x), separate, atol=1e-5)
    model = Model(Format("spikes", spec.shape_in), {
        "conv": out, "out": ReadoutSpec("spike_count", ("a", "b"), np.ones((spec.n_out, 2)))})
    report = check(model, [recording(model.input, 5)])
    assert report.equal, str(report)
    assert report.spikes["conv"] > 20


def test_folding_tells_which_channels_would_fire_in_silence():
    spec = LIFSpec(np.ones((1, 3)), 20.0, 1.0, 1000)
    beta = [0.04, 0.05, 0.03]  # d = 0.951: a bias of 0.0488 brings v to 1
    assert fold_batch_norm(spec, 0.0, 1.0, 1.0, beta).may_fire_in_silence().tolist() == [False, True, False]
    with pytest.raises(ValueError, match=r"1 of 3 channels to their threshold in silence.* the first is 1;"):
        fold_batch_norm(spec, 0.0, 1.0, 1.0, beta, silent=True)
    assert fold_batch_norm(spec, 0.0, 1.0, 1.0, 0.04, silent=True).bias.tolist() == pytest.approx([0.04] * 3)


def test_a_normalised_threshold_is_the_law_of_sparse_spiking_convolution():
    spec = conv_spec(threshold=0.3, tau_ms=4.0, padding=1)
    layer = ConvLIF(spec, normalised=True).eval()
    x = counts(spec, ticks=12, width=1)
    d = float(spec.decay()[0])
    norms = (layer.weight**2).sum((1, 2, 3))[:, None, None]
    v, spikes = torch.zeros(spec.shape_out), []
    for image in x.reshape(12, 1, *spec.shape_in):  # the law as published, the comparison aside (there > 0)
        v = d * v + (1 - d) * torch.nn.functional.conv2d(image, layer.weight, None, 1, 1)[0]
        spiked = (v / (norms + 1e-8) - 0.3 >= 0).float()
        v = v - spiked * 0.3 * norms
        spikes.append(spiked.flatten())
    assert 0.02 < torch.stack(spikes).mean() < 0.9
    assert torch.equal(layer(x)[:, 0], torch.stack(spikes))
    assert torch.equal(ConvLIF(layer.spec())(x)[:, 0], torch.stack(spikes))


def test_a_network_of_convolutions_trains_and_its_model_file_runs(tmp_path):
    model = random_model(3)
    network = Network(model.layers, TICK_US)
    x = counts(model.layers["first"], ticks=12, width=6)
    labels = torch.tensor([0, 1] * 3)
    step = torch.optim.Adam(network.parameters(), 0.01)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(network(x, torch.full((6,), 12)).final(), labels)
        step.zero_grad()
        loss.backward()
        step.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    save_model(tmp_path / "m.safetensors", dataclasses.replace(model, layers=network.specs()))
    report = check(load_model(tmp_path / "m.safetensors"), [recording(model.input, 9)])
    assert report.equal, str(report)


def test_options_that_exclude_each_other_are_refused():
    with pytest.raises(ValueError, match="choose one"):
        ConvLIF(conv_spec(), batch_norm=True, normalised=True)
    with pytest.raises(ValueError, match="event mode"):
        ConvLIF(conv_spec(tick_us=None))
