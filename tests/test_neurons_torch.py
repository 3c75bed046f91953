"""The kinds of neurons as torch modules: built from specs and returning them, spike for spike as the runtime, and they learn."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.layer_spec import AdaptiveLIFSpec, CubaLIFSpec, LIFSpec, ReadoutSpec, ResonateSpec, SRMSpec  # noqa: E402
from pipeline.model_file import Model, load_model, save_model  # noqa: E402
from pipeline.packet import Format  # noqa: E402
from tests.packets import recording  # noqa: E402
from trainer.data import Batch  # noqa: E402
from trainer.layers import LIF, CubaLIF, build  # noqa: E402
from trainer.network import Network  # noqa: E402
from trainer.parity import check  # noqa: E402
from trainer.recipe import ModelRecipe, Training  # noqa: E402
from trainer.start import start  # noqa: E402

TICK_US = 2000


def common(rng, n_in, n_out, gain=0.4):
    bias = rng.uniform(-0.05, 0.05, n_out) if rng.random() < 0.5 else None
    weight = rng.normal(gain / 4, gain, (n_in, n_out))
    return {"weight": weight, "threshold": rng.uniform(0.5, 1.5, n_out), "tick_us": TICK_US, "bias": bias}


def cuba(rng, n_in, n_out):
    taus = {"tau_ms": rng.uniform(2, 30, n_out), "tau_syn_ms": rng.uniform(1, 15, n_out)}
    return CubaLIFSpec(**common(rng, n_in, n_out), **taus, reset=rng.choice(["subtract", "to_zero"]).item())


def adaptive(rng, n_in, n_out, form="adlif"):
    taus = {"tau_ms": rng.uniform(4, 30, n_out), "tau_w_ms": rng.uniform(30, 120, n_out)}
    q = 40.0 if form == "se_adlif" else 1.0
    own = {"a": rng.uniform(0, 0.6, n_out), "b": rng.uniform(0, 0.5, n_out), "form": form, "q": q}
    return AdaptiveLIFSpec(**common(rng, n_in, n_out, 4.0), **taus, **own)


def symplectic(rng, n_in, n_out):
    return adaptive(rng, n_in, n_out, "se_adlif")


def resonate(rng, n_in, n_out):
    own = {"tau_ms": rng.uniform(5, 40, n_out), "frequency_hz": rng.uniform(0, 40, n_out)}
    return ResonateSpec(**common(rng, n_in, n_out, 0.8), **own, reset=rng.choice(["subtract", "to_zero"]).item())


def srm(rng, n_in, n_out):
    return SRMSpec(**common(rng, n_in, n_out), tau_syn_ms=rng.uniform(3, 12, n_out), tau_ref_ms=rng.uniform(2, 12, n_out))


KINDS = {"adaptive_lif": adaptive, "se_adlif": symplectic, "cuba_lif": cuba, "resonate": resonate, "srm": srm}


def random_model(kind, seed):
    rng = np.random.default_rng(seed)
    n, hidden, second, classes = rng.integers(2, 9, 4).tolist()
    layers = {"hidden": KINDS[kind](rng, n, hidden), "second": KINDS[kind](rng, hidden, second)}
    out = ReadoutSpec("spike_count", tuple(map(str, range(classes))), rng.normal(size=(second, classes)))
    return Model(Format("spikes", (n,)), layers | {"out": out})


@pytest.mark.parametrize("kind", KINDS)
def test_random_networks_agree_with_the_runtime_spike_for_spike(kind):
    spikes = 0
    for seed in range(6):
        model = random_model(kind, seed)
        report = check(model, [recording(model.input, seed + k, n=120, begin_us=3_700 * k, length_us=141_300) for k in range(2)])
        assert report.equal, str(report)
        spikes += min(report.spikes.values())
    assert spikes > 60


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_file_gives_back_every_array_and_setting(kind, tmp_path):
    model = random_model(kind, 3)
    save_model(tmp_path / "model.safetensors", model)
    spec, found = model.layers["hidden"], load_model(tmp_path / "model.safetensors").layers["hidden"]
    through_torch = build(spec, TICK_US).spec()
    for other in (found, through_torch):
        assert vars(other).keys() == vars(spec).keys()
        for name, value in vars(spec).items():
            assert np.array_equal(getattr(other, name), value), name


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_steps_lower_the_loss_and_what_was_learnt_is_exported(kind):
    torch.manual_seed(0)
    rng = np.random.default_rng(4)
    spec = KINDS[kind](rng, 6, 20)
    layers = {"hidden": spec, "out": ReadoutSpec("spike_count", ("a", "b"), rng.normal(0, 0.1, (20, 2)))}
    network = Network(layers, TICK_US, {"hidden": {"learn_tau": True, "learn_threshold": True}})
    x = torch.from_numpy(rng.poisson(0.3, (40, 16, 6)).astype(np.float32))
    labels = torch.arange(16) % 2
    x[:20, labels == 0, :3], x[20:, labels == 1, :3] = 0, 0  # early or late: the classes have the same counts on average
    step = torch.optim.Adam(network.parameters(), 0.01)
    losses = []
    for _ in range(15):
        step.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x, torch.full((16,), 40)).final() / 10, labels)
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters() if p.requires_grad)
        step.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    learnt = network.specs()["hidden"]
    changed = [name for name, value in vars(spec).items() if not np.array_equal(getattr(learnt, name), value)]
    assert {"weight", "threshold"} < set(changed)
    assert any(name.startswith("tau") for name in changed)


@pytest.mark.parametrize("layer", [
    {"type": "srm", "learn": ["tau", "threshold"]},
    {"type": "adaptive_lif", "learn": ["tau", "adaptation"]},
    {"type": "adaptive_lif", "form": "adlif"},
    {"type": "resonate", "learn": ["frequency"]},
])
def test_a_recipe_starts_neurons_that_fire_neither_never_nor_always(layer):
    model = ModelRecipe(layers=[layer | {"name": "hidden", "units": 50}, {"type": "readout"}])
    x = torch.from_numpy(np.random.default_rng(6).poisson(0.1, (60, 8, 30)).astype(np.float32))
    batch = Batch(x, torch.full((8,), 60), torch.arange(8) % 2)
    network = start(model, Training(), ("a", "b"), batch)
    rate = network(batch.x, batch.ticks).rates()["hidden"]
    assert 0.01 < rate.mean() < 0.3
    assert (rate > 0).float().mean() > 0.5


def test_without_a_synaptic_time_constant_cuba_lif_is_lif():
    rng = np.random.default_rng(5)
    weight, tau_ms = rng.normal(0.2, 0.6, (3, 4)), rng.uniform(5, 30, 4)
    x = torch.from_numpy(rng.poisson(0.5, (60, 2, 3)).astype(np.float32))
    lif, cuba = LIF(LIFSpec(weight, tau_ms, 1.0, TICK_US)), CubaLIF(CubaLIFSpec(weight, tau_ms, 0.0, 1.0, TICK_US))
    assert torch.equal(lif(x), cuba(x))
    assert lif(x).sum() > 20
