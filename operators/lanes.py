"""What kernels do to 64 neurons at a time: sums of whole numbers in registers, membranes, masks of who fired, spikes.

Each function is plain Python that says what it computes; in compiled kernels it is vector code (operators/vector_code.py), of
which every processor has its own form: what is one instruction on 64 bytes with AVX-512 is several elsewhere, with the same bits.

Codes are the weights, 64 units to a block: (rows, 64 blocks) int8, what each row adds; or, at one bit a weight, (blocks, rows)
uint64, where a row adds 2 for a bit that is set; (blocks, rows, 2) uint64 for blocks of 128 units. The last row adds nothing.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types

from operators.vector_code import F4, I1, I8, I16, I32, I64, Code, Lanes, compiled_as, constant, vector

SIXTEEN = 16  # events that `early` looks at, and spikes that `write_units` writes, whether there are as many or not

# --- sums ---


def lanes_like(like, codes):
    """Numbers of the array `like`'s type, one for each unit of a block of codes."""
    return Lanes(like.dtype.bitwidth, 128 if codes.ndim == 3 else 64)


@compiled_as(lambda codes: types.int64(codes), lambda code: I64(128 if code.types["codes"].ndim == 3 else 64))
def columns_of(codes):
    """How many units a block of codes has."""
    return 128 if codes.ndim == 3 else 64


def emit_all_lanes(code):
    lanes = code.signature.return_type
    value = code.splat(code.builder.trunc(code.values["value"], lanes.of.element), 64)
    return code.lanes([value] * (lanes.n // 64))


@compiled_as(lambda like, codes, value: lanes_like(like, codes)(like, codes, types.int64), emit_all_lanes)
def all_lanes(like, codes, value):
    """The value for each unit of a block of codes, as numbers of the array `like`'s type."""
    return np.full(columns_of(codes), value, like.dtype)


def row(code, i):
    """What row i of the block adds."""
    b, lanes = code.builder, code.types["sums"]
    begin, stride = place_of(code)
    at = b.mul(i, stride)
    if code.types["codes"].dtype == types.int8:
        codes = code.load("codes", at, vector(I8, 64), begin)
        return [codes if lanes.bits == 8 else b.sext(codes, lanes.of)]
    two, nothing = (constant(lanes.of.element, [k] * 64) for k in (2, 0))
    words = [code.load("codes", b.add(at, I64(k)), I64, begin) for k in range(lanes.n // 64)]
    return [b.select(b.bitcast(word, vector(I1, 64)), two, nothing) for word in words]


def place_of(code):
    """At which entry of `codes` the block begins, and by how many the next row does after one."""
    b, block, length = code.builder, code.values["block"], code.length("codes", 1)
    if code.types["codes"].dtype == types.int8:
        return b.mul(block, I64(64)), length
    n_words = I64(code.types["sums"].n // 64)
    return b.mul(b.mul(block, length), n_words), n_words


def emit_add_row(code):
    added = row(code, code.builder.zext(code.values["i"], I64))
    return code.lanes([code.builder.add(*both) for both in zip(code.parts("sums"), added, strict=True)])


@compiled_as(lambda sums, codes, block, i: sums(sums, codes, types.int64, types.uint32), emit_add_row)
def add_row(sums, codes, block, i):
    """sums + row i of a block of codes."""
    if codes.dtype == np.int8:
        return sums + codes[i, 64 * block : 64 * block + 64].astype(sums.dtype)
    return sums + 2 * np.unpackbits(np.atleast_1d(codes[block, i]).view(np.uint8), bitorder="little").astype(sums.dtype)


def emit_add_sixteen(code):
    """Where rows are cheap all sixteen are added, without a jump that the processor might guess wrong."""
    b, codes = code.builder, code.types["codes"]
    units = [b.zext(code.load("unit", b.add(code.values["at"], I64(k)), I32), I64) for k in range(SIXTEEN)]
    if codes.dtype == types.uint64 and code.has("gfni", "avx512vbmi", "avx512bitalg"):
        counts = zip(bits_of_eight(code, units, 0), bits_of_eight(code, units, 8), strict=True)
        twice = [b.shl(b.add(*both), constant(I8, [1] * 64)) for both in counts]
        return code.lanes([b.add(*both) for both in zip(code.parts("sums"), twice, strict=True)])
    none = b.sub(code.length("codes", 0 if codes.dtype == types.int8 else 1), I64(1))

    def added(sums, some):
        for k in some:
            wanted = b.icmp_signed("<", I64(k), code.values["held"])
            sums = [b.add(*both) for both in zip(sums, row(code, b.select(wanted, units[k], none)), strict=True)]
        return sums

    few, before = added(code.parts("sums"), range(8)), b.block
    with b.if_then(b.icmp_signed(">", code.values["held"], I64(8))):
        many, inside = added(few, range(8, SIXTEEN)), b.block
    sums = [b.phi(part.type) for part in few]
    for both, some, all_ in zip(sums, few, many, strict=True):
        both.add_incoming(some, before)
        both.add_incoming(all_, inside)
    return code.lanes(sums)


def bits_of_eight(code, units, begin):
    """How often each bit is set in the rows of eight units from the begin-th on, those from the held-th on left out.

    The bytes of one place are put side by side; eight of them are a matrix of 8 x 8 bits, which a product with the matrix 1 turns
    over, to bytes that hold the eight bits of one unit; these are counted.
    """
    b, n_words, block = code.builder, code.types["sums"].n // 64, place_of(code)[0]
    held, words = code.splat(code.values["held"], 8), []
    for first in range(0, 8, 8 // n_words):
        some, of = ir.Constant(vector(I64, 8), ir.Undefined), [begin + first + k // n_words for k in range(8)]
        for k in range(8):
            at = b.add(b.mul(units[of[k]], I64(n_words)), I64(k % n_words))
            some = b.insert_element(some, code.load("codes", at, I64, block), I32(k))
        some = b.select(b.icmp_signed("<", constant(I64, of), held), some, constant(I64, [0] * 8))
        words.append(b.bitcast(some, vector(I8, 64)))
    one, counts = constant(I8, [1 << k % 8 for k in range(64)]), []
    for word in range(n_words):
        places = [8 * (n_words * event + word) + byte for byte in range(8) for event in range(8)]
        matrices = b.shuffle_vector(words[0], words[-1], constant(I32, places))
        turned = code.call("llvm.x86.vgf2p8affineqb.512", vector(I8, 64), one, matrices, I8(0))
        counts.append(code.call("llvm.ctpop.v64i8", vector(I8, 64), turned))
    return counts


@compiled_as(lambda sums, codes, block, unit, at, held:
             sums(sums, codes, types.int64, unit, types.int64, types.int64), emit_add_sixteen)  # fmt: skip
def add_sixteen(sums, codes, block, unit, at, held):
    """sums + the rows of the units unit[at:at + 16], which there must be, or of the first `held` of them."""
    for i in unit[at : at + min(held, SIXTEEN)]:
        sums = add_row(sums, codes, block, i)
    return sums


def emit_put_aside(code):
    b, lanes = code.builder, code.types["sums"]
    of = vector(ir.IntType(code.types["aside"].dtype.bitwidth), 64)
    for k, sums in enumerate(code.parts("sums")):
        at = b.add(b.mul(code.values["block"], I64(lanes.n)), I64(64 * k))
        code.store(b.add(code.load("aside", at, of), sums if of == lanes.of else b.sext(sums, of)), "aside", at)
    return code.context.get_dummy_value()


@compiled_as(lambda sums, aside, block: types.void(sums, aside, types.int64), emit_put_aside)
def put_aside(sums, aside, block):
    """The block's part of `aside`, numbers of as many bits or more, <- itself + sums."""
    aside[block * sums.size : (block + 1) * sums.size] += sums


def emit_taken(code):
    b, lanes, parts = code.builder, code.signature.return_type, []
    for k in range(lanes.n // 64):
        at = b.add(b.mul(code.values["block"], I64(lanes.n)), I64(64 * k))
        parts.append(code.load("aside", at, lanes.of))
        code.store(constant(lanes.of.element, [0] * 64), "aside", at)
    return code.lanes(parts)


@compiled_as(lambda aside, codes, block: lanes_like(aside, codes)(aside, codes, types.int64), emit_taken)
def taken(aside, codes, block):
    """The block's part of `aside`, which becomes 0."""
    n = columns_of(codes)
    sums = aside[block * n : (block + 1) * n].copy()
    aside[block * n : (block + 1) * n] = 0
    return sums


# --- membranes ---


def emit_step(code):
    b, lanes, of = code.builder, code.types["sums"], vector(F4, 64)
    keep, zeros = code.splat(code.values["keep"], 64), constant(F4, [0.0] * 64)
    to_zero = b.icmp_signed("!=", code.values["to_zero"], I64(0))
    mask_at = b.add(b.mul(code.values["tick"], code.length("fired", 1)), b.mul(code.values["block"], I64(lanes.n // 64)))
    for k, sums in enumerate(code.parts("sums")):
        at = b.add(b.mul(code.values["block"], I64(lanes.n)), I64(64 * k))
        v, scale, threshold = (code.load(name, at, of) for name in ("v", "scale", "threshold"))
        v = b.fadd(b.fmul(v, keep), b.fmul(scale, b.sitofp(sums, of)))
        fires = b.fcmp_ordered(">=", v, threshold)
        code.store(b.select(fires, b.select(to_zero, zeros, b.fsub(v, threshold)), v), "v", at)
        code.store(b.bitcast(fires, I64), "fired", b.add(mask_at, I64(k)))
    return code.context.get_dummy_value()


def types_of_step(sums, v, block, scale, threshold, keep, to_zero, fired, tick):
    return types.void(sums, v, types.int64, scale, threshold, types.float32, types.int64, fired, types.int64)


@compiled_as(types_of_step, emit_step)
def step(sums, v, block, scale, threshold, keep, to_zero, fired, tick):
    """For a block of units v <- keep v + scale sums; where v >= threshold a bit of fired[tick], and v <- v - threshold, or 0."""
    for k in range(0, sums.size, 64):
        at = block * sums.size + k
        here = slice(at, at + 64)
        v[here] = v[here] * keep + scale[here] * sums[k : k + 64].astype(np.float32)
        fired[tick, at // 64] = fired_mask(v, threshold, at // 64)
        fires = v[here] >= threshold[here]
        v[here][fires] = np.float32(0) if to_zero else v[here][fires] - threshold[here][fires]


def emit_fired_mask(code):
    at = code.builder.mul(code.values["block"], I64(64))
    v, threshold = (code.load(name, at, vector(F4, 64)) for name in ("v", "threshold"))
    return code.builder.bitcast(code.builder.fcmp_ordered(">=", v, threshold), I64)


@compiled_as(lambda v, threshold, block: types.uint64(v, threshold, types.int64), emit_fired_mask)
def fired_mask(v, threshold, block):
    """Bit c: whether v >= threshold in unit 64 block + c."""
    here = slice(64 * block, 64 * block + 64)
    return np.packbits(v[here] >= threshold[here], bitorder="little").view(np.uint64)[0]


# --- events and spikes ---


def emit_early(code):
    """All sixteen at once; by plain code where fewer events are left."""
    b, at = code.builder, code.values["at"]
    whole = b.icmp_signed("<=", b.add(at, I64(SIXTEEN)), code.length("t_us"))
    with b.if_else(whole, likely=True) as (then, otherwise):
        with then:
            times, end_us = code.load("t_us", at, vector(I64, SIXTEEN)), code.splat(code.values["end_us"], SIXTEEN)
            of_all, here = b.zext(b.ctpop(b.bitcast(b.icmp_signed("<", times, end_us), I16)), I64), b.block
        with otherwise:
            of_rest, there = code.compiled(early_of_rest), b.block
    count = b.phi(I64)
    count.add_incoming(of_all, here)
    count.add_incoming(of_rest, there)
    return count


def early_of_rest(t_us, at, end_us):
    count = 0
    while count < SIXTEEN and at + count < t_us.shape[0] and t_us[at + count] < end_us:
        count += 1
    return count


@compiled_as(lambda t_us, at, end_us: types.int64(t_us, types.int64, types.int64), emit_early)
def early(t_us, at, end_us):
    """How many of the times t_us[at:at + 16], which do not decrease, are before end_us."""
    return int((t_us[at : at + SIXTEEN] < end_us).sum())


@compiled_as(lambda mask: types.uint64(types.uint64), lambda code: code.builder.ctpop(code.values["mask"]))
def ones(mask):
    """How many bits are set."""
    return np.uint64(int(mask).bit_count())


def emit_write_units(code: Code):
    """By the instruction that puts the bytes of a mask together, where the processor has it; else bit by bit."""
    if not code.has("avx512vbmi2"):
        return code.compiled(units_by_bits)
    b, mask, to = code.builder, code.values["mask"], code.values["to"]
    first, name = code.splat(code.values["first"], SIXTEEN), "llvm.x86.avx512.mask.compress.v64i8"
    places, nothing = constant(I8, list(range(64))), constant(I8, [0] * 64)
    places = code.call(name, vector(I8, 64), places, nothing, b.bitcast(mask, vector(I1, 64)))

    def write(k: int) -> None:
        some = b.zext(b.shuffle_vector(places, places, constant(I32, list(range(k, k + SIXTEEN)))), vector(I32, SIXTEEN))
        code.store(b.add(some, first), "out_unit", b.add(to, I64(k)))

    write(0)
    n = b.ctpop(mask)
    with b.if_then(b.icmp_unsigned(">", n, I64(SIXTEEN)), likely=False):
        for k in range(SIXTEEN, 64, SIXTEEN):
            write(k)
    return n


def units_by_bits(mask, first, out_unit, to):
    """Four at a time whether there are as many or not: the place of the lowest bit is the number of bits below it."""
    n = ones(mask)
    end = to + n
    while to < end:
        for c in range(4):
            less = mask - np.uint64(mask != 0)
            out_unit[to + np.uint64(c)] = first + np.uint32(ones(less & ~mask))
            mask = mask & less
        to += np.uint64(4)
    return n


@compiled_as(lambda mask, first, out_unit, to: types.uint64(types.uint64, types.uint32, out_unit, types.uint64), emit_write_units)
def write_units(mask, first, out_unit, to):
    """out_unit[to:] <- first + the places of the set bits, lowest first; how many. 64 entries may be written to."""
    places = np.flatnonzero(np.unpackbits(np.array([mask]).view(np.uint8), bitorder="little"))
    out_unit[int(to) : int(to) + places.size] = first + places
    return np.uint64(places.size)
