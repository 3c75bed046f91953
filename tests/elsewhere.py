"""A device that is not there: its tensors say they are on "meta", hold their numbers here and find what would fail on a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")


class Elsewhere(torch.Tensor):
    """A tensor on DEVICE. numpy() fails, and so does every operation with a tensor of the CPU that is more than one number."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held):
        made = torch.Tensor._make_wrapper_subclass(cls, held.shape, strides=held.stride(), dtype=held.dtype, device=DEVICE,
                                                   requires_grad=held.requires_grad)
        made.held = held
        return made

    def __repr__(self, **_: Any) -> str:
        return f"Elsewhere({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class Device(TorchDispatchMode):
    """Within it, what is made on DEVICE is made Elsewhere."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


def run(func, args, kwargs):
    """The operation on the numbers that are held; what comes out is Elsewhere if what went in was, or if it was asked for."""
    given = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    there = any(isinstance(x, Elsewhere) for x in given)
    asked = kwargs.get("device")
    moved = asked is not None or func is torch.ops.aten.copy_.default
    if there and not moved and any(not isinstance(x, Elsewhere) and x.dim() for x in given):
        raise RuntimeError(f"{func}: tensors of two devices, {[(type(x).__name__, tuple(x.shape)) for x in given]}")
    args, kwargs = tree_map(lambda x: x.held if isinstance(x, Elsewhere) else x, (args, kwargs))
    if asked is not None:
        there, kwargs = torch.device(asked) == DEVICE, kwargs | {"device": "cpu"}
    out = func(*args, **kwargs)
    if not there:
        return out
    of = {id(x.held): x for x in given if isinstance(x, Elsewhere)}  # what is changed in place stays who it is
    return tree_map(lambda x: of.get(id(x), Elsewhere(x)) if isinstance(x, torch.Tensor) else x, out)


def move(module: torch.nn.Module) -> torch.nn.Module:
    """The module with its parameters and buffers Elsewhere."""
    with torch.no_grad():
        for part in module.modules():
            for name, parameter in part.named_parameters(recurse=False):
                part._parameters[name] = torch.nn.Parameter(Elsewhere(parameter.detach()), parameter.requires_grad)
            for name, buffer in part.named_buffers(recurse=False):
                part._buffers[name] = Elsewhere(buffer)
    return module
