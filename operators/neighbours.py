"""How many of the 8 pixels around one fired lately: what the filters of a sensor's noise ask of every event.

The function is plain Python that says what it computes; in compiled kernels it is vector code (operators/vector_code.py): three
rows of four times are compared at once, in place of eight times one by one.
"""

from __future__ import annotations

from numba import types

from operators.vector_code import I16, I32, I64, compiled_as, constant, vector

AROUND = 0b0111_0101_0111  # of three rows of four pixels, from one left of and above the middle on: the 8 around it


def around(code):
    """A bit for each of the three rows of four, set in those of the 8 around that are at least `oldest`."""
    b = code.builder
    left = b.sub(code.values["here"], I64(1))
    begins = [b.sub(left, code.values["stride"]), left, b.add(left, code.values["stride"])]
    above, beside, below = (code.load("newest", begin, vector(I32, 4)) for begin in begins)
    first = b.shuffle_vector(above, beside, constant(I32, list(range(8))))
    last = b.shuffle_vector(below, below, constant(I32, [0, 1, 2, 3] * 2))
    times = b.shuffle_vector(first, last, constant(I32, list(range(16))))
    oldest = code.splat(b.trunc(code.values["oldest"], I32), 16)
    return b.and_(b.bitcast(b.icmp_signed(">=", times, oldest), I16), I16(AROUND))


def emit_recent_neighbours(code):
    return code.builder.zext(code.call("llvm.ctpop.i16", I16, around(code)), I64)


@compiled_as(lambda newest, here, stride, oldest: types.int64(newest, here, stride, oldest), emit_recent_neighbours)
def recent_neighbours(newest, here, stride, oldest):
    """How many of the 8 entries around `here` are at least `oldest`, an int32.

    newest: a map of int32 whose rows lie `stride` apart, with a border and at least one entry more: a fourth is read in each row.
    """
    recent = 0
    for beside in (here - stride, here, here + stride):
        for place in (beside - 1, beside, beside + 1):
            recent += place != here and newest[place] >= oldest
    return recent
