"""Frames of LZ4: whatever they tell of their size and blocks, the content comes out, in room that is made once."""

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


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("told", [{}, {"store_size": False}, {"content_checksum": True}, {"block_checksum": True},
                                  {"block_linked": False}], ids=str)  # fmt: skip
def test_a_frame_comes_out_whole_and_at_once(content, block, told, monkeypatch):
    frame = lz4.frame.compress(content, block_size=block, **told)
    steps = []
    real = lz4.frame.decompress_chunk
    monkeypatch.setattr(lz4.frame, "decompress_chunk", lambda *args, **options: steps.append(options) or real(*args, **options))
    assert bytes(decompress.lz4(memoryview(frame))) == content
    assert len(steps) == 1
    assert steps[0]["max_length"] <= len(content) + (1 << 16) + (4 << 20)


def test_a_frame_that_promises_blocks_which_it_has_not_takes_no_room_for_them():
    frame = bytearray(lz4.frame.compress(b"0123456789" * 7, store_size=False, block_size=lz4.frame.BLOCKSIZE_MAX4MB))
    many = frame[:7] + b"\x01\x00\x00\x00\x00" * 100_000
    assert decompress._lz4_room(memoryview(bytes(many))) <= decompress.LZ4_MOST_RATIO * len(many)
    with pytest.raises(ValueError, match="cannot be decompressed"):
        decompress.lz4(memoryview(bytes(many)))


@pytest.mark.parametrize("length", range(24))
def test_a_frame_that_is_cut_off_is_refused(length):
    frame = lz4.frame.compress(b"0123456789" * 7)
    with pytest.raises(ValueError, match="cannot be decompressed"):
        decompress.lz4(memoryview(frame[:length]))
