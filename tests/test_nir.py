"""NIR graphs to models and back: what the runtime makes of an imported graph is what the graph says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import operators.conv_lif
import operators.cuba_lif
import operators.delay
import operators.lif
import operators.recurrent_lif
from pipeline.layer_spec import ConvLIFSpec, CubaLIFSpec, DelaySpec, LIFSpec, ReadoutSpec, RecurrentLIFSpec, spec_type
from pipeline.model_file import Model, load_model, save_model
from pipeline.packet import Format, Packet, join
from spikeline.nir_exchange.order import CannotCarry, read_graph, write_graph
from spikeline.nir_exchange.read import Options, check_graph, import_graph
from spikeline.nir_exchange.write import export_model

nir = pytest.importorskip("nir", reason="NIR needs the package nir: pip install 'spikeline[nir]'")
TICKS, TICK = 40, Options(1000)
MAKERS = {"lif": operators.lif, "conv_lif": operators.conv_lif, "cuba_lif": operators.cuba_lif, "delay": operators.delay,
          "recurrent_lif": operators.recurrent_lif}


def spikes_in(shape: tuple[int, ...], share: float = 0.2, seed: int = 1) -> np.ndarray:
    """(TICKS, *shape) of 0 and 1."""
    return (np.random.default_rng(seed).random((TICKS, *shape)) < share).astype(np.float64)


def run(model: Model, x: np.ndarray) -> np.ndarray:
    """(ticks, units) of what the runtime's operators make of x, up to the readout."""
    tick, unit = np.nonzero(x.reshape(TICKS, -1))
    packet, format = Packet(0, TICKS * 1000, tick * 1000, unit.astype(np.uint32), None, last=True), model.input
    for spec in model.layers.values():
        if isinstance(spec, ReadoutSpec):
            break
        operator = MAKERS[spec_type(spec)].make(spec, format)(None)
        packet = join(operator.process(packet), operator.finish())
        format = format if isinstance(spec, DelaySpec) else Format("spikes", (spec.n_out,), 1000)
    out = np.zeros((-(-packet.end_us // 1000), format.size))
    np.add.at(out, (packet.t_us // 1000, packet.unit), 1)
    return out


def lif_by_hand(current: np.ndarray, keep: np.ndarray, threshold: float = 1.0, *, subtract: bool = False) -> np.ndarray:
    """The LIF of a drive (ticks, n) as NIR has it, tick by tick in float64."""
    v, out = np.zeros(current.shape[1:]), np.zeros_like(current)
    for t, added in enumerate(current):
        v = keep * v + added
        out[t] = v >= threshold
        v = v - threshold * out[t] if subtract else v * (1 - out[t])
    return out


def neurons(n: int | tuple[int, ...], tau: float = 0.01, r: float = 8.0, **other: Any) -> Any:
    full = np.full(n, 1.0)
    return nir.LIF(tau=tau * full, r=r * full, v_leak=0 * full, v_threshold=full, v_reset=0 * full, **other)


def chain(*nodes: Any) -> Any:
    return nir.NIRGraph.from_list(*nodes, type_check=False)


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.6, shape)


KEEP = np.exp(-0.1)


@pytest.mark.parametrize("method", ["exact", "euler"])
def test_affine_and_lif_do_what_the_equation_says(method):
    w, b = weights(6, 9), weights(6, seed=4) / 20
    model, fate = import_graph(chain(nir.Input(np.array([9])), nir.Affine(w, b), neurons(6)), Options(1000, method))
    keep = KEEP if method == "exact" else 0.9
    x = spikes_in((9,))
    expected = lif_by_hand((x @ w.T + b) * 8 * (1 - keep), keep)
    assert expected.sum() > 20
    np.testing.assert_array_equal(run(model, x), expected)
    assert fate == {"lif": "lif lif", "affine": "in the weights of lif"}
    assert isinstance(model.layers["readout"], ReadoutSpec)


def test_scales_fold_into_the_weights_before_and_behind():
    w, first, second = weights(5, 9), np.linspace(0.5, 2, 9), np.linspace(2, 0.5, 5)
    model, _ = import_graph(chain(nir.Input(np.array([9])), nir.Scale(first), nir.Linear(w), nir.Scale(second), neurons(5)), TICK)
    x = spikes_in((9,))
    np.testing.assert_array_equal(run(model, x), lif_by_hand(((x * first) @ w.T * second) * 8 * (1 - KEEP), KEEP))


def test_integrate_and_fire_and_thresholds_are_the_ends_of_the_leak():
    w = weights(5, 9)
    node = nir.IF(r=np.full(5, 1000.0), v_threshold=np.ones(5))
    model, _ = import_graph(chain(nir.Input(np.array([9])), nir.Linear(w), node), TICK)
    x = spikes_in((9,))
    np.testing.assert_array_equal(run(model, x), lif_by_hand(x @ w.T, np.ones(5)))
    model, _ = import_graph(chain(nir.Input(np.array([9])), nir.Linear(w), nir.Threshold(np.full(5, 0.8))), TICK)
    np.testing.assert_array_equal(run(model, x), (x @ w.T >= 0.8).astype(float))


def conv(x: np.ndarray, w: np.ndarray, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1) -> np.ndarray:
    """x (ticks, c, h, w) * w (o, c / groups, kh, kw), a cross-correlation, by loops."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    kh, kw = w.shape[2:]
    high = (x.shape[2] - dilation * (kh - 1) - 1) // stride + 1
    wide = (x.shape[3] - dilation * (kw - 1) - 1) // stride + 1
    out = np.zeros((x.shape[0], w.shape[0], high, wide))
    per_group = w.shape[0] // groups
    for o in range(w.shape[0]):
        own = x[:, o // per_group * w.shape[1] : (o // per_group + 1) * w.shape[1]]
        for row in range(high):
            for column in range(wide):
                patch = own[:, :, row * stride : row * stride + dilation * kh : dilation,
                            column * stride : column * stride + dilation * kw : dilation]
                out[:, o, row, column] = (patch[:, :, :kh, :kw] * w[o]).sum((1, 2, 3))
    return out


def pooled(x: np.ndarray, k: int) -> np.ndarray:
    high, wide = x.shape[2] // k, x.shape[3] // k
    return x[:, :, : high * k, : wide * k].reshape(*x.shape[:2], high, k, wide, k).sum((3, 5))


def conv2d(w: np.ndarray, shape: tuple[int, int] | None, **options: Any) -> Any:
    settings = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": np.zeros(w.shape[0])} | options
    return nir.Conv2d(input_shape=shape, weight=w, **settings)


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": 1}, {"groups": 2}])
def test_convolutions_become_conv_lif(options):
    w = weights(4, 2 // options.get("groups", 1), 3, 3)
    x = spikes_in((2, 7, 8))
    expected = conv(x, w, **options) * 8 * (1 - KEEP)
    node = conv2d(w, (7, 8), **options)
    model, _ = import_graph(chain(nir.Input(np.array([2, 7, 8])), node, neurons(expected.shape[1:])), TICK)
    assert isinstance(model.layers["lif"], ConvLIFSpec)
    np.testing.assert_array_equal(run(model, x).reshape(expected.shape), lif_by_hand(expected, KEEP))


def test_pools_fold_into_the_convolution_or_the_matrix_behind_them():
    x, k = spikes_in((2, 9, 8), 0.1), 2
    w = weights(3, 2, 2, 2)
    expected = conv(pooled(x, k), w) * 8 * (1 - KEEP)
    pool = nir.SumPool2d(np.array([k, k]), np.array([k, k]), np.array([0, 0]))
    model, _ = import_graph(chain(nir.Input(np.array([2, 9, 8])), pool, conv2d(w, None), neurons(expected.shape[1:])), TICK)
    np.testing.assert_array_equal(run(model, x).reshape(expected.shape), lif_by_hand(expected, KEEP))
    dense = weights(5, 2 * 4 * 4)
    average = nir.AvgPool2d(np.array([k, k]), np.array([k, k]), np.array([0, 0]))
    flat = nir.Flatten({"input": np.array([2, 4, 4])}, 0, -1)
    model, _ = import_graph(chain(nir.Input(np.array([2, 9, 8])), average, flat, nir.Linear(dense), neurons(5, r=20.0)), TICK)
    expected = (pooled(x, k) / k**2).reshape(TICKS, -1) @ dense.T * 20 * (1 - KEEP)
    np.testing.assert_array_equal(run(model, x), lif_by_hand(expected, KEEP))


def test_a_pool_straight_in_front_of_neurons_is_a_convolution_of_ones():
    x = spikes_in((2, 6, 6))
    pool = nir.SumPool2d(np.array([3, 3]), np.array([3, 3]), np.array([0, 0]))
    model, _ = import_graph(chain(nir.Input(np.array([2, 6, 6])), pool, neurons((2, 2, 2), r=3.0)), TICK)
    expected = lif_by_hand(pooled(x, 3) * 3 * (1 - KEEP), KEEP)
    np.testing.assert_array_equal(run(model, x).reshape(expected.shape), expected)


def test_conv1d_is_a_convolution_of_one_row():
    w, x = weights(3, 2, 4), spikes_in((2, 11))
    node = nir.Conv1d(input_shape=11, weight=w, stride=2, padding=1, dilation=1, groups=1, bias=np.zeros(3))
    expected = conv(np.pad(x, ((0, 0), (0, 0), (1, 1)))[:, :, None, :], w[:, :, None, :], 1)[..., ::2] * 8 * (1 - KEEP)
    model, _ = import_graph(chain(nir.Input(np.array([2, 11])), node, neurons((3, expected.shape[3]))), TICK)
    np.testing.assert_array_equal(run(model, x).reshape(expected.shape), lif_by_hand(expected, KEEP))


def test_current_based_neurons_keep_a_current():
    w, full = weights(5, 9), np.ones(5)
    node = nir.CubaLIF(tau_syn=0.005 * full, tau_mem=0.01 * full, r=9 * full, v_leak=0 * full, v_threshold=full, w_in=4.0)
    model, _ = import_graph(chain(nir.Input(np.array([9])), nir.Linear(w), node), TICK)
    x, held = spikes_in((9,)), np.exp(-0.2)
    current, drive = np.zeros(5), np.zeros((TICKS, 5))
    for t in range(TICKS):
        current = held * current + 4 * (1 - held) * (x[t] @ w.T)
        drive[t] = current * 9 * (1 - KEEP)
    np.testing.assert_array_equal(run(model, x), lif_by_hand(drive, KEEP))


@pytest.mark.parametrize("nested", [False, True])
def test_neurons_that_hear_themselves_do_so_at_the_next_tick(nested):
    w, back = weights(5, 9), weights(5, 5, seed=3)
    outer = {"input": nir.Input(np.array([9])), "w": nir.Linear(w), "output": nir.Output(np.array([5]))}
    inner = {"lif": neurons(5), "back": nir.Linear(back)}
    loop = [("lif", "back"), ("back", "lif")]
    if nested:
        ends = {"input": nir.Input(np.array([5])), "output": nir.Output(np.array([5]))}
        sub = nir.NIRGraph(inner | ends, [("input", "lif"), *loop, ("lif", "output")], type_check=False)
        graph = nir.NIRGraph(outer | {"r": sub}, [("input", "w"), ("w", "r"), ("r", "output")], type_check=False)
    else:
        graph = nir.NIRGraph(outer | inner, [("input", "w"), ("w", "lif"), *loop, ("lif", "output")], type_check=False)
    model, fate = import_graph(graph, TICK)
    name = "r.lif" if nested else "lif"
    assert fate[name] == f"recurrent_lif {name.replace('.', '_')}"
    x, v, before = spikes_in((9,)), np.zeros(5), np.zeros(5)
    expected = np.zeros((TICKS, 5))
    for t in range(TICKS):
        v = KEEP * v + (x[t] @ w.T + before @ back.T) * 8 * (1 - KEEP)
        before = expected[t] = (v >= 1).astype(float)
        v = v * (1 - before)
    np.testing.assert_array_equal(run(model, x), expected)


def test_delays_are_kept_to_the_microsecond_and_a_last_integrator_is_the_readout():
    w = weights(3, 9)
    full = np.ones(3)
    graph = chain(nir.Input(np.array([9])), nir.Delay(np.linspace(0, 0.0123, 9)), nir.Linear(w),
                  nir.LI(tau=0.02 * full, r=full, v_leak=0 * full))
    model, _ = import_graph(graph, Options(1000, names=("a", "b", "c")))
    assert model.layers["delay"].delay_us.tolist() == np.rint(np.linspace(0, 12300, 9)).tolist()
    readout = model.layers["li"]
    assert (readout.score, readout.names) == ("membrane", ("a", "b", "c"))
    np.testing.assert_allclose(readout.weight, w.T * (1 - np.exp(-1 / 20)), rtol=1e-6)


def branching() -> Any:
    ends = {"input": nir.Input(np.array([3])), "output": nir.Output(np.array([3]))}
    nodes = ends | {"a": nir.Linear(np.eye(3)), "b": nir.Linear(np.eye(3)), "lif": neurons(3)}
    return nir.NIRGraph(nodes, [("input", "a"), ("input", "b"), ("a", "lif"), ("b", "lif"), ("lif", "output")], type_check=False)


PADDED = nir.SumPool2d(np.array([2, 2]), np.array([1, 1]), np.array([0, 0]))
MIXED = nir.LIF(tau=np.linspace(0.01, 0.02, 18).reshape(2, 3, 3), r=np.ones((2, 3, 3)), v_leak=np.zeros((2, 3, 3)),
                v_threshold=np.ones((2, 3, 3)))


@pytest.mark.parametrize(("graph", "node", "reason"), [
    (branching(), "input", "branches to a, b"),
    (chain(nir.Input(np.array([3])), nir.LIF(tau=np.ones(3), r=np.ones(3), v_leak=np.zeros(3), v_threshold=np.ones(3),
                                             v_reset=np.full(3, -0.5))), "lif", "--reset"),
    (chain(nir.Input(np.array([2, 6, 6])), PADDED, neurons((2, 5, 5))), "sumpool2d", "side by side"),
    (chain(nir.Input(np.array([2, 5, 5])), conv2d(weights(2, 2, 3, 3), (5, 5)), MIXED), "lif", "different parameters"),
    (chain(nir.Input(np.array([3])), nir.LI(tau=np.ones(3), r=np.ones(3), v_leak=np.zeros(3)), nir.Linear(np.eye(3))), "li",
     "only the last"),
    (chain(nir.Input(np.array([3])), nir.Linear(np.ones((2, 4))), neurons(2)), "linear", "do not fit 3 units"),
    (chain(nir.Input(np.array([3])), nir.CubaLI(*(np.ones(3) for _ in range(4)))), "cubali", "spikeline has no CubaLI"),
])  # fmt: skip
def test_what_cannot_be_carried_is_named_with_the_reason(graph, node, reason):
    with pytest.raises(CannotCarry, match=reason) as error:
        import_graph(graph, TICK)
    assert error.value.node == node
    assert [row[0] for row in check_graph(graph, TICK) if not row[3]] == [node]


def random_model() -> Model:
    rng = np.random.default_rng(8)
    return Model(Format("spikes", (2, 6, 6)), {
        "first": ConvLIFSpec(rng.normal(0, 0.4, (3, 2, 3, 3)), 20.0, rng.uniform(0.5, 1, 3), (2, 6, 6), (2, 2), (1, 1),
                             tick_us=1000, bias=rng.uniform(0, 0.01, 3)),
        "wait": DelaySpec(rng.integers(0, 9000, 27)),
        "second": LIFSpec(rng.normal(0, 0.5, (27, 8)), rng.uniform(5, 30, 8), rng.uniform(0.5, 1, 8), 1000, "to_zero"),
        "third": RecurrentLIFSpec(rng.normal(0, 0.5, (8, 8)), rng.normal(0, 0.3, (8, 8)), rng.integers(0, 4, 8) * 1000, 10.0,
                                  1.0, 1000),
        "fourth": CubaLIFSpec(rng.normal(0, 0.5, (8, 6)), 10.0, 4.0, 1.0, 1000),
        "fifth": LIFSpec(rng.normal(0, 0.5, (6, 6)), np.inf, 1.0, 1000),
        "out": ReadoutSpec("membrane", ("a", "b", "c"), rng.normal(0, 1, (6, 3)), rng.normal(0, 0.1, 3), np.array(20.0), 1000),
    })  # fmt: skip


def test_a_model_comes_back_as_it_went(tmp_path):
    model = random_model()
    graph, notes = export_model(model)
    write_graph(tmp_path / "g.nir", graph)
    back, _ = import_graph(read_graph(tmp_path / "g.nir"), Options(1000, names=("a", "b", "c")))
    assert list(back.layers) == list(model.layers)
    for name, spec in model.layers.items():
        other = back.layers[name]
        assert type(other) is type(spec)
        for key, value in vars(spec).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_allclose(getattr(other, key), value, rtol=2e-6, err_msg=f"{name}.{key}")
            else:
                assert getattr(other, key) == value, f"{name}.{key}"
    assert sum("subtracts the threshold" in note for note in notes) == 4


def test_layers_that_nir_lacks_are_refused_by_name():
    layers = {"a": LIFSpec(np.eye(3), 10.0, 1.0), "r": ReadoutSpec("spike_count", ("x", "y", "z"))}
    event_mode = Model(Format("spikes", (3,)), layers)
    with pytest.raises(CannotCarry, match="a: runs event by event"):
        export_model(event_mode)


def cli(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "spikeline.cli", *map(str, words)], capture_output=True, text=True, check=False)


def test_the_commands_go_from_a_model_to_a_graph_and_back(tmp_path):
    save_model(tmp_path / "m.safetensors", random_model())
    done = cli("export-nir", tmp_path / "m.safetensors", tmp_path / "g.nir")
    assert done.returncode == 0, done.stderr
    done = cli("check-nir", tmp_path / "g.nir")
    assert done.returncode == 0, done.stdout
    assert "ok  first_weight" in done.stdout
    done = cli("import-nir", tmp_path / "g.nir", tmp_path / "back.safetensors", "--names", "a,b,c")
    assert done.returncode == 0, done.stderr
    assert "- {type: recurrent_lif, model:" in done.stdout
    assert list(load_model(tmp_path / "back.safetensors").layers) == list(random_model().layers)


def test_check_nir_exits_with_1_and_names_the_node(tmp_path):
    write_graph(tmp_path / "g.nir", branching())
    done = cli("check-nir", tmp_path / "g.nir")
    assert done.returncode == 1
    assert "NO  input" in done.stdout


@pytest.mark.parametrize("content", [b"", b"no hdf5", None])
def test_a_file_that_is_no_graph_is_one_clear_line(tmp_path: Path, content: bytes | None):
    path = tmp_path / "g.nir"
    write_graph(path, branching())
    path.write_bytes(path.read_bytes()[:700] if content is None else content)
    done = cli("check-nir", path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "not a NIR graph, or a damaged one" in done.stderr
