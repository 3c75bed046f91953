"""Random layers: the weights are those of their law, and nothing but a few numbers stands for them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import lif, random_lif
from pipeline.layer_spec import RandomLIFSpec
from pipeline.model_file import Model, load_model, save_model
from pipeline.packet import Format, same_events
from tests import naive_random_lif
from tests.packets import recording

PICTURE = (28, 28)


@st.composite
def specs(draw):
    shape = draw(st.sampled_from([(5,), (4, 6), (2, 5, 3)]))
    fields = draw(st.lists(st.integers(1, min(shape[-2:])), max_size=3)) if len(shape) > 1 else ()
    law = draw(st.sampled_from(["uniform", "normal", "sign"]))
    scale = draw(st.sampled_from([0.0, 0.04, 1.0]))
    return RandomLIFSpec(shape, draw(st.integers(1, 9)), draw(st.integers(0, 2**32 - 1)), law, scale,
                         draw(st.sampled_from([0.0, 0.01, -1.0])), draw(st.booleans()), draw(st.sampled_from([1.0, 0.5, 0.01])),
                         tuple(fields), draw(st.sampled_from([0.0, 0.3])), tick_us=1000)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(specs())
def test_every_weight_is_the_one_of_plain_python(spec):
    assert spec.weights().tobytes() == np.array(naive_random_lif.weights(spec), np.float32).tobytes()
    if spec.bias:
        assert spec.lif().bias.tobytes() == np.array(naive_random_lif.bias(spec), np.float32).tobytes()


def test_the_weights_of_a_seed_never_change():
    weights = RandomLIFSpec(PICTURE, 3, seed=7, draw="normal").weights()
    assert weights[[0, 300, 783], [0, 1, 2]].tolist() == [-1.003844141960144, -0.40180492401123047, -0.7060728669166565]


def test_the_laws_have_the_moments_that_they_say():
    for law, deviation, kurtosis in (("uniform", 1 / np.sqrt(3), 1.8), ("normal", 1.0, 2.9), ("sign", 1.0, 1.0)):
        weights = RandomLIFSpec(PICTURE, 2000, draw=law).weights().astype(np.float64)
        assert weights.mean() == pytest.approx(0, abs=0.003)
        assert weights.std() == pytest.approx(deviation, rel=0.002)
        assert (weights**4).mean() / weights.var() ** 2 == pytest.approx(kurtosis, rel=0.005)


def test_the_weights_are_as_independent_as_those_of_a_random_matrix():
    values = np.linalg.svd(RandomLIFSpec(PICTURE, 2000, draw="normal").weights(), compute_uv=False)
    assert values[0] == pytest.approx(2000**0.5 + 784**0.5, rel=0.02)  # the edges of the Marchenko-Pastur law
    assert values[-1] == pytest.approx(2000**0.5 - 784**0.5, rel=0.03)


def test_a_mean_and_a_scale_are_weights_of_a_neuron_that_hears_all_inputs():
    weights = RandomLIFSpec(PICTURE, 400, scale=0.04, mean=0.01).weights()
    assert weights.min() == pytest.approx(-0.03, abs=1e-4)
    assert weights.max() == pytest.approx(0.05, abs=1e-4)


def test_a_centred_neuron_answers_an_even_picture_with_nothing():
    weights = RandomLIFSpec(PICTURE, 50, centred=True, fields=(5, 9), density=0.7).weights().astype(np.float64)
    assert np.abs(weights.sum(0)).max() < 1e-5 * np.abs(weights).sum(0).max()


def test_a_field_is_a_square_in_all_channels_and_the_drive_is_as_large_as_without():
    spec = RandomLIFSpec((2, 28, 28), 600, draw="sign", scale=0.02, fields=(7, 10))
    heard = spec.weights().reshape(2, 28, 28, 600) != 0
    for j in range(600):
        side = (7, 10)[j % 2]
        _, y, x = np.nonzero(heard[..., j])
        assert (heard[..., j].sum(), np.ptp(y), np.ptp(x)) == (2 * side * side, side - 1, side - 1)
    everywhere = RandomLIFSpec((2, 28, 28), 600, draw="sign", scale=0.02).weights()
    assert np.square(spec.weights()).sum(0) == pytest.approx(np.square(everywhere).sum(0), rel=1e-4)


def test_signs_at_two_thirds_density_are_three_values_each_a_third():
    values, counts = np.unique(np.sign(RandomLIFSpec((784,), 300, draw="sign", density=2 / 3).weights()), return_counts=True)
    assert values.tolist() == [-1, 0, 1]
    assert counts / counts.sum() == pytest.approx(1 / 3, abs=0.005)


def test_a_wider_layer_begins_with_the_narrower_one():
    narrow, wide = (RandomLIFSpec((9, 9), n, 5, "normal", fields=(3, 4)).weights() for n in (200, 700))
    assert (wide[:, :200] == narrow).all()


def test_seeds_give_other_weights():
    one, other = (RandomLIFSpec((50,), 50, seed).weights() for seed in (1, 2))
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.06


def test_it_fires_as_lif_does_with_the_same_weights():
    spec = RandomLIFSpec((4, 4), 20, 3, "sign", 0.6, density=0.5, tick_us=1000)
    upstream = Format("spikes", (4, 4))
    episode = recording(upstream, 1)
    made, written_out = random_lif.make(spec, upstream)(None), lif.make(spec.lif(), upstream)(None)
    spikes = made.process(episode)
    assert spikes.n
    assert same_events(spikes, written_out.process(episode))


def test_a_model_file_holds_the_law_and_not_the_weights(tmp_path):
    spec = RandomLIFSpec(PICTURE, 16_000, 9, "normal", 0.02, centred=True, fields=(5, 7), tau_ms=np.inf, tick_us=1000)
    path = tmp_path / "m.safetensors"
    save_model(path, Model(Format("spikes", PICTURE), {"hidden": spec}))
    assert path.stat().st_size < 1000
    assert load_model(path).layers["hidden"] == spec


@pytest.mark.parametrize(("changes", "message"), [
    ({"draw": "cauchy"}, "draw must be uniform, normal or sign"),
    ({"n_out": 0}, "needs inputs and neurons"),
    ({"seed": -1}, "seed must be"),
    ({"density": 0.0}, "density above 0"),
    ({"scale": float("nan")}, "scale and bias must be at least 0"),
    ({"fields": (29,)}, "fields must fit a picture"),
    ({"shape": (784,), "fields": (3,)}, "fields must fit a picture"),
    ({"threshold": 0.0}, "threshold must be above 0"),
    ({"bias": 0.1, "tick_us": None}, "a bias is an input of every tick"),
])  # fmt: skip
def test_what_is_no_layer_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        RandomLIFSpec(**{"shape": PICTURE, "n_out": 5, "tick_us": 1000, **changes})
