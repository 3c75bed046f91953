"""The torch modules of delay_motion and linear_attention: their specs, parity with the runtime, what they learn."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.layer_spec import DelayMotionSpec, LIFSpec, LinearAttentionSpec, ReadoutSpec  # noqa: E402
from pipeline.model_file import Model, load_model, save_model  # noqa: E402
from pipeline.packet import Format  # noqa: E402
from tests.packets import recording  # noqa: E402
from tests.test_trainer_delays import TICK_US, step_lowers_the_loss  # noqa: E402
from tests.test_trainer_layers import arrays_of  # noqa: E402
from trainer.layers import DelayMotion, build  # noqa: E402
from trainer.parity import check  # noqa: E402


def motion(rng, classes=3, delays=4):
    kernel = rng.normal(0, 1.5, (classes, 2, delays, 3, 2)) * (rng.random((2, delays, 3, 2)) < 0.7)
    return DelayMotionSpec(kernel, rng.uniform(-2, -1, classes), 0.6, (4, 5), TICK_US)


def attention(rng, n=40):
    return LinearAttentionSpec(rng.normal(0.1, 0.5, (n, 14)), 4, np.array([np.inf, 30.0]), rng.uniform(3, 20, 14), 1.0, 15.0,
                               rng.uniform(0.5, 1, 6), TICK_US, 0.25)


@pytest.mark.parametrize("make", [motion, attention])
def test_a_module_returns_the_spec_it_was_built_from(make):
    spec = make(np.random.default_rng(1))
    back = build(spec, TICK_US).spec()
    assert {k: v.tobytes() for k, v in arrays_of(back).items()} == {k: v.tobytes() for k, v in arrays_of(spec).items()}
    others = {k: v for k, v in vars(spec).items() if not isinstance(v, np.ndarray)}
    assert {k: v for k, v in vars(back).items() if not isinstance(v, np.ndarray)} == others


@pytest.mark.parametrize("make", [motion, attention])
@pytest.mark.parametrize("seed", range(3))
def test_a_saved_network_agrees_with_the_runtime_spike_for_spike(make, seed, tmp_path):
    rng = np.random.default_rng(seed)
    first = make(rng)
    second = LIFSpec(rng.normal(0.4, 0.6, (first.n_out, 4)), 20.0, 1.0, TICK_US)
    layers = {"first": first, "second": second, "out": ReadoutSpec("spike_count", ("a", "b"), rng.normal(size=(4, 2)))}
    save_model(tmp_path / "m.safetensors", Model(Format("spikes", (2, 4, 5)), layers))
    model = load_model(tmp_path / "m.safetensors")
    report = check(model, [recording(model.input, seed + k, n=150, begin_us=3_700 * k, length_us=51_300) for k in range(2)])
    assert report.equal, str(report)
    assert report.spikes["second"] > 5
    assert not report.decided_otherwise


def test_gradient_steps_lower_the_loss_of_attention():
    layer = build(attention(np.random.default_rng(3), n=6), TICK_US).train()
    before, after = step_lowers_the_loss(layer, list(layer.parameters()))
    assert after < 0.7 * before


def test_a_detector_learns_which_way_a_bar_moves():
    size, ticks = (4, 7), 7
    layer = DelayMotion(DelayMotionSpec(np.zeros((2, 1, 3, 3, 3)), np.full(2, -2.0), 0.5, size, TICK_US))
    bar = torch.zeros(ticks, 2, *size)
    for tick in range(ticks):
        bar[tick, 0, :, tick] = bar[tick, 1, :, ticks - 1 - tick] = 1  # to the right, to the left
    x = bar.flatten(2)
    target = torch.zeros(2, 2, ticks, *size)
    for direction in range(2):
        target[direction, direction] = bar[:, direction]
    step, losses = torch.optim.Adam(layer.parameters(), 0.1), []
    for _ in range(60):
        step.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(layer.evidence(x)[:, :, :ticks], target)
        loss.backward()
        step.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]
    found = layer(x)[2:ticks].unflatten(2, (2, *size)).sum((0, 3, 4))  # a bar that has moved is evident
    assert found[0, 0] > 5 * found[0, 1]
    assert found[1, 1] > 5 * found[1, 0]
