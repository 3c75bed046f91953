"""Model files: what was saved comes back to the bit, and anything else is one clear error."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from operators.delay import DelayConfig
from pipeline.layer_spec import DelaySpec, LIFSpec, ReadoutSpec
from pipeline.model_file import Model, load_model, read_card, save_model
from pipeline.packet import Format

LAYERS = {
    "hidden": LIFSpec(np.arange(12).reshape(3, 4) / 7, [5, 10, np.inf, 0], 1.5, 1000, "to_zero", bias=np.full(4, 0.1)),
    "late": DelaySpec(np.array([0, 4000, 6000, 2000])),
    "out": ReadoutSpec("membrane", ("a", "b"), np.ones((4, 2)), tau_ms=20.0, tick_us=1000, temperature=0.5),
}
MODEL = Model(Format("spikes", (3,), names=("a", "b")), LAYERS, "two toys", {"accuracy": 0.5}, "abc")  # type: ignore[arg-type]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(tmp_path / "m.safetensors", MODEL)
    return tmp_path / "m.safetensors"


def test_a_model_comes_back_bit_for_bit(saved: Path) -> None:
    loaded = load_model(saved)
    assert (loaded.input, loaded.trained_on, loaded.revision) == (MODEL.input, "two toys", "abc")
    assert loaded.metrics == {"accuracy": 0.5}
    assert list(loaded.layers) == ["hidden", "late", "out"]
    for name, spec in LAYERS.items():
        for key, value in vars(spec).items():
            got = getattr(loaded.layers[name], key)
            same = got.tobytes() == value.tobytes() if isinstance(value, np.ndarray) else got == value
            assert same, (name, key)


def test_equal_models_give_equal_bytes(saved: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "again.safetensors", load_model(saved))
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.safetensors", "m.safetensors"]


def test_the_card_tells_shapes_ticks_and_names_without_the_arrays(saved: Path) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: 8 + int.from_bytes(content[:8], "little")])
    card = read_card(saved)
    assert [(layer.name, layer.n_in, layer.n_out, layer.tick_us, layer.grid_us) for layer in card.layers] == [
        ("hidden", 3, 4, 1000, None), ("late", 4, 4, None, 2000), ("out", 4, 2, 1000, None)]
    assert card.names == ("a", "b")


@pytest.mark.parametrize(("tick_us", "kept"), [(1000, 1000), (2000, 2000), (3000, None), (None, None)])
def test_a_delay_keeps_the_tick_that_all_its_delays_are_multiples_of(saved: Path, tick_us: int | None, kept: int | None) -> None:
    config = DelayConfig(model=saved, layer="late")
    assert config.check(Format("spikes", (4,), tick_us)).tick_us == kept


def test_every_truncation_is_one_clear_error(saved: Path) -> None:
    content = saved.read_bytes()
    for length in range(len(content)):
        saved.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"m\.safetensors: ") as caught:
            load_model(saved)
        assert "\n" not in str(caught.value)


def test_every_flipped_byte_of_the_card_is_an_error_or_a_model(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    for at in range(8 + int.from_bytes(content[:8], "little")):
        content[at] ^= 0x15
        saved.write_bytes(content)
        with contextlib.suppress(ValueError):  # what is not a ValueError fails the test
            load_model(saved)
        content[at] ^= 0x15


def test_every_flipped_bit_of_a_weight_is_found(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    for at in range(8 + int.from_bytes(content[:8], "little"), len(content)):
        content[at] ^= 1 << at % 8
        saved.write_bytes(content)
        with pytest.raises(ValueError, match="the model file is damaged"):
            load_model(saved)
        content[at] ^= 1 << at % 8


@pytest.mark.parametrize(("change", "said"), [
    ({"version": 2}, "model card version 2, this spikeline reads version 1"),
    ({"layers": [{"name": "x", "type": "conv", "n_in": 1, "n_out": 1}]}, "unknown layer type 'conv'"),
    ({"input": {"kind": "spikes", "shape": []}}, "shape must hold positive lengths"),
    ({"layers": "none"}, "the model card cannot be understood"),
])
def test_a_card_of_another_kind_is_refused(saved: Path, change: dict[str, object], said: str) -> None:
    header = saved.read_bytes()[8:]
    card = json.loads(json.JSONDecoder().raw_decode(header.decode("latin1"))[0]["__metadata__"]["card"])
    save_file({"hidden.weight": np.ones((1, 1), np.float32)}, saved, {"card": json.dumps(card | change)})
    with pytest.raises(ValueError, match=said):
        read_card(saved)


SEVEN = b"\0" * 7


@pytest.mark.parametrize("content", [
    b"", b"\0" * 8, b"\xff" * 100, b"\x05" + SEVEN + b"hello", b"\x02" + SEVEN + b"[]", b"\x02" + SEVEN + b"{}",
])
def test_what_is_no_model_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=r"x: .*(not a \.safetensors|without a spikeline model card)"):
        read_card(tmp_path / "x")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such model file; train one"):
        read_card(tmp_path / "gone")
    with pytest.raises(ValueError, match="cannot read the model file: Is a directory"):
        read_card(tmp_path)


def test_a_layer_that_is_not_there_or_of_another_type_is_named(saved: Path) -> None:
    with pytest.raises(ValueError, match=r"no layer 'hiden'; it has hidden \(lif\), late \(delay\), out \(readout\)"):
        read_card(saved).layer("hiden", "lif")
    with pytest.raises(ValueError, match="layer 'late' is a delay, not a lif"):
        read_card(saved).layer("late", "lif")
