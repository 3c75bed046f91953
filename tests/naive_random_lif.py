"""The slow plain truth of random_lif: every weight by itself, in Python's whole numbers."""

from __future__ import annotations

import math

from pipeline.layer_spec import RandomLIFSpec

BITS = 0xFFFFFFFF
WEIGHT, LISTENS, PLACE, CONSTANT = 1, 2, 3, 4


def mixed(x: int) -> int:
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & BITS
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & BITS
    return x ^ (x >> 16)


def hashed(seed: int, purpose: int, neuron: int, number: int) -> int:
    key = mixed(seed) ^ purpose
    return mixed(mixed(number ^ mixed(mixed(key) ^ neuron)) ^ mixed(mixed(key ^ 0x9E3779B9) ^ neuron))


def drawn(spec: RandomLIFSpec, i: int, j: int) -> int:
    """x[i, j] in units of 2^-32."""
    if spec.draw == "normal":
        return sum(hashed(spec.seed, WEIGHT + 256 * k, j, i) for k in range(12)) - 6 * 2**32 + 6
    number = hashed(spec.seed, WEIGHT, j, i)
    if spec.draw == "sign":
        return 2**32 if number >= 2**31 else -(2**32)
    return 2 * number + 1 - 2**32


def listens(spec: RandomLIFSpec, i: int, j: int) -> bool:
    if spec.density < 1 and not hashed(spec.seed, LISTENS, j, i) < int(spec.density * 2**32):
        return False
    if not spec.fields:
        return True
    height, width = spec.shape[-2:]
    y, x = divmod(i % (height * width), width)
    side = spec.fields[j % len(spec.fields)]
    top = hashed(spec.seed, PLACE, j, 0) * (height - side + 1) >> 32
    left = hashed(spec.seed, PLACE + 256, j, 0) * (width - side + 1) >> 32
    return top <= y < top + side and left <= x < left + side


def weights(spec: RandomLIFSpec) -> list[list[float]]:
    """weight[i][j], before it is stored as float32."""
    n_in = math.prod(spec.shape)
    table = [[0.0] * spec.n_out for _ in range(n_in)]
    for j in range(spec.n_out):
        heard = [i for i in range(n_in) if listens(spec, i, j)]
        x = {i: drawn(spec, i, j) for i in heard}
        mean = sum(x.values()) / len(heard) / 2**32 if heard and spec.centred else 0.0
        for i in heard:
            table[i][j] = (spec.scale * (x[i] / 2**32 - mean) + spec.mean) * math.sqrt(n_in / len(heard))
    return table


def bias(spec: RandomLIFSpec) -> list[float]:
    return [spec.bias * ((2 * hashed(spec.seed, CONSTANT, j, 0) + 1 - 2**32) / 2**32) for j in range(spec.n_out)]
