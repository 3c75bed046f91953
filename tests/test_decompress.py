"""Frames of LZ4: whatever they tell of their size and blocks, whatever came before, the content comes out."""

import lz4.frame
import numpy as np
import pytest

from sources.formats import decompress

BLOCKS = {"64 KB": lz4.frame.BLOCKSIZE_MAX64KB, "256 KB": lz4.frame.BLOCKSIZE_MAX256KB, "4 MB": lz4.frame.BLOCKSIZE_MAX4MB}
CONTENTS = {
    "nothing": b"",
    "a little": b"0123456789" * 7,
    "some blocks": np.random.default_rng(1).integers(0, 50, 300_000, dtype=np.uint8).tobytes(),
    "what cannot be made smaller": np.random.default_rng(2).bytes(200_000),
    "much of the same": bytes(3_000_000),
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("told", [{}, {"store_size": False}, {"content_checksum": True}, {"block_checksum": True},
                                  {"block_linked": False}], ids=str)  # fmt: skip
def test_frames_come_out_whole_whatever_came_before(block, told):
    frames = {name: memoryview(lz4.frame.compress(content, block_size=block, **told)) for name, content in CONTENTS.items()}
    for first in CONTENTS:
        decompress_one = decompress.Lz4()
        for name in (first, *CONTENTS, *reversed(CONTENTS)):
            assert bytes(decompress_one(frames[name])) == CONTENTS[name]


def test_a_frame_no_longer_than_one_before_comes_in_one_step(monkeypatch):
    steps = []
    real = lz4.frame.decompress_chunk
    monkeypatch.setattr(lz4.frame, "decompress_chunk", lambda *args, **options: steps.append(options) or real(*args, **options))
    decompress_one = decompress.Lz4()
    for name in ("some blocks", "some blocks", "a little", "what cannot be made smaller", "nothing"):
        decompress_one(memoryview(lz4.frame.compress(CONTENTS[name])))
    assert len(steps) == 5
    assert {step["max_length"] for step in steps[1:]} == {300_000 + decompress.SLACK_BYTES}


def test_a_frame_that_promises_blocks_which_it_has_not_is_refused():
    frame = bytearray(lz4.frame.compress(b"0123456789" * 7, store_size=False, block_size=lz4.frame.BLOCKSIZE_MAX4MB))
    with pytest.raises(ValueError, match="cannot be decompressed"):
        decompress.Lz4()(memoryview(bytes(frame[:7] + b"\x01\x00\x00\x00\x00" * 100_000)))


def test_damage_leaves_nothing_behind_for_the_next_frame():
    decompress_one, frame = decompress.Lz4(), lz4.frame.compress(CONTENTS["some blocks"])
    with pytest.raises(ValueError, match="cannot be decompressed"):
        decompress_one(memoryview(frame[:-100]))
    assert bytes(decompress_one(memoryview(frame))) == CONTENTS["some blocks"]


@pytest.mark.parametrize("length", range(24))
def test_a_frame_that_is_cut_off_is_refused(length):
    frame = lz4.frame.compress(b"0123456789" * 7)
    with pytest.raises(ValueError, match="cannot be decompressed"):
        decompress.Lz4()(memoryview(frame[:length]))
