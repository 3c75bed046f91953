"""Still images of an idx file (MNIST and its kin): each image goes in, and comes out as one labelled episode of graded events."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from pipeline.contract import FilePath, Source, State
from pipeline.packet import Format
from sources.cut import Events
from sources.samples import Sample, SampledConfig, Samples

MOST_BYTES = 1 << 32
UNSIGNED_BYTES = 8  # the type of the values that an idx header tells


class ImagesConfig(SampledConfig):
    """Images of an idx file (.gz or not), each shown for `presentation_ms`: every pixel is one graded event at its begin.

    Out: graded events of shape (height, width), in order of their address (C order), all at t = 0 us of an episode of
    [0, presentation_ms): value = pixel / 255 in float32, 0..1. Pixels below `threshold` are left out; 0 keeps them all.
    Labels come from `labels`, or from the file beside the images whose name has labels-idx1 for images-idx3, if it is there;
    else they are -1. Format.names are `names`, or the numbers of the labels.

    Errors: a file that is missing, cut off, or no idx file of unsigned bytes; labels of another number than the images.

    Example: {type: images, path: data/train-images-idx3-ubyte.gz, presentation_ms: 100, shuffle: true, limit: 1000}

    Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits", the idx file format.
    """

    type: Literal["images"] = "images"
    path: FilePath = Field(description="the idx file of the images")
    labels: FilePath | None = Field(None, description="the idx file of the labels; none: the one beside the images")
    names: tuple[str, ...] | None = Field(None, min_length=1, description="class names; none: the numbers of the labels")
    presentation_ms: float = Field(100.0, gt=0, description="how long an image is shown: the length of an episode")
    threshold: float = Field(0.0, ge=0, le=1, description="least value of a pixel that gives an event; 0: all pixels do")

    def check(self) -> Format:
        shape, labels = _read_header(self.path, 3)[0], self.read_labels()
        if labels is not None and len(labels) != shape[0]:
            raise ValueError(f"{self.path}: {shape[0]} images, but {len(labels)} labels")
        classes = 0 if labels is None or not len(labels) else int(labels.max()) + 1
        names = self.names or tuple(str(number) for number in range(classes))
        if classes > len(names):
            raise ValueError(f"names: {len(names)} names for labels up to {classes - 1}")
        return Format("graded", shape[1:], names=names)

    def prepare(self) -> Callable[[State | None], Source]:
        format = self.check()
        images, labels = read_idx(self.path, 3), self.read_labels()
        return lambda state: Samples(self, format, partial(_ImageReader, self, images, labels), state)

    def read_labels(self) -> np.ndarray | None:
        beside = self.path.with_name(self.path.name.replace("images", "labels").replace("idx3", "idx1"))
        path = self.labels or (beside if beside != self.path and beside.exists() else None)
        return None if path is None else read_idx(path, 1)


class _ImageReader:
    def __init__(self, config: ImagesConfig, images: np.ndarray, labels: np.ndarray | None) -> None:
        self._images, self._labels = images.reshape(len(images), -1), labels
        self._least, self._end_us = np.float32(config.threshold), max(1, round(config.presentation_ms * 1000))
        self.fingerprint = str(images.shape).encode() + (b"" if labels is None else labels.tobytes())

    def __len__(self) -> int:
        return len(self._images)

    def label(self, index: int) -> int:
        return -1 if self._labels is None else int(self._labels[index])

    def read(self, index: int) -> Sample:
        value = self._images[index].astype(np.float32) / np.float32(255)
        unit = np.flatnonzero(value >= self._least).astype(np.uint32)
        return Sample(Events(np.zeros(unit.size, np.int64), unit, value[unit]), self._end_us)

    def about(self, index: int) -> dict[str, str]:
        return {}

    def close(self) -> None:
        pass


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The array of an idx file of unsigned bytes."""
    shape, offset = _read_header(path, dimensions)
    size = int(np.prod(shape, dtype=object))
    content = _content(path, offset + size + 1)  # one more, so that the end is reached and gzip's checksum tested
    if len(content) != offset + size:
        there = f"only {len(content) - offset}" if len(content) < offset + size else "more"
        raise ValueError(f"{path}: damaged or cut off: its header tells {size} values, there are {there}")
    return np.frombuffer(content, np.uint8, size, offset).reshape(shape)


def _read_header(path: Path, dimensions: int) -> tuple[tuple[int, ...], int]:
    head = _content(path, 4 + 4 * dimensions)
    if len(head) < 4 + 4 * dimensions or head[:4] != bytes((0, 0, UNSIGNED_BYTES, dimensions)):
        raise ValueError(f"{path}: not an idx file of unsigned bytes in {dimensions} dimensions; it begins with {head[:4]!r}")
    shape = tuple(int(n) for n in np.frombuffer(head, ">u4", dimensions, 4))
    if not 0 < int(np.prod(shape, dtype=object)) <= MOST_BYTES:
        raise ValueError(f"{path}: an idx file of shape {shape} is empty, or has more than {MOST_BYTES} values")
    return shape, len(head)


def _content(path: Path, most: int) -> bytes:
    """The first bytes of a file, unpacked if it is gzip's."""
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        opened: Any = gzip.open if packed else open
        with opened(path, "rb") as file:
            return bytes(file.read(most))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: a damaged or cut off file ({' '.join(str(error).split())[:80]})") from None
