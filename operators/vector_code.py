"""What makes a plain function stand for vector code of LLVM in kernels: for what Numba's loops do not reach (operators/lanes.py).

With NUMBA_DISABLE_JIT=1 the function runs as it stands, so it says what the code computes, to the bit. Code that names an
instruction of one processor is chosen while it is compiled (`Code.has`); Numba's cache keeps kernels of processors apart.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, register_model

I1, I8, I16, I32, I64, F4 = *(ir.IntType(bits) for bits in (1, 8, 16, 32, 64)), ir.FloatType()


class Lanes(types.Type):
    """The Numba type of n whole numbers of so many bits that live in registers, as vectors of 64."""

    def __init__(self, bits: int, n: int) -> None:
        self.bits, self.n, self.of = bits, n, vector(ir.IntType(bits), 64)
        super().__init__(name=f"Lanes({n} x int{bits})")


@register_model(Lanes)
class LanesModel(PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, ir.ArrayType(lanes.of, lanes.n // 64))


def vector(of: Any, n: int) -> Any:
    return ir.VectorType(of, n)


def constant(of: Any, values: list[Any]) -> Any:
    return ir.Constant(vector(of, len(values)), values)


class Code:
    """The vector code of one call: the arguments and their types by name, and what makes instructions, `builder`."""

    def __init__(self, names: list[str], context: Any, builder: Any, signature: Any, values: Any) -> None:
        self.context, self.builder, self.signature = context, builder, signature
        self.types = dict(zip(names, signature.args, strict=True))
        self.values = dict(zip(names, values, strict=True))

    def load(self, array: str, index: Any, of: Any, begin: Any = I64(0)) -> Any:
        """From an array in C order, entry begin + index on, aligned to its entries alone."""
        return self.builder.load(self._address(array, index, of, begin), align=self.types[array].dtype.bitwidth // 8)

    def store(self, value: Any, array: str, index: Any) -> None:
        align = self.types[array].dtype.bitwidth // 8
        self.builder.store(value, self._address(array, index, value.type, I64(0)), align=align)

    def _address(self, array: str, index: Any, of: Any, begin: Any) -> Any:
        """Where an `of` is; begin and index go into it one after the other, so that what they have in common is found once."""
        data = self.builder.gep(self._array(array).data, [begin])
        return self.builder.bitcast(self.builder.gep(data, [index]), of.as_pointer())

    def length(self, array: str, axis: int = 0) -> Any:
        return cgutils.unpack_tuple(self.builder, self._array(array).shape)[axis]

    def _array(self, array: str) -> Any:
        return self.context.make_array(self.types[array])(self.context, self.builder, self.values[array])

    def parts(self, lanes: str) -> list[Any]:
        """The vectors of lanes."""
        return [self.builder.extract_value(self.values[lanes], k) for k in range(self.types[lanes].n // 64)]

    def lanes(self, parts: list[Any]) -> Any:
        """Vectors as lanes."""
        made = ir.Constant(ir.ArrayType(parts[0].type, len(parts)), ir.Undefined)
        for k, part in enumerate(parts):
            made = self.builder.insert_value(made, part, k)
        return made

    def splat(self, value: Any, n: int) -> Any:
        """n times the same."""
        first = self.builder.insert_element(ir.Constant(vector(value.type, n), ir.Undefined), value, I32(0))
        return self.builder.shuffle_vector(first, first, constant(I32, [0] * n))

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """What an intrinsic function of LLVM gives."""
        of = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, of, name), arguments)

    def compiled(self, plain: Callable[..., Any]) -> Any:
        """What Numba makes of a plain function of the same arguments."""
        signature = self.signature.return_type(*self.signature.args)
        return self.context.compile_internal(self.builder, plain, signature, list(self.values.values()))

    def has(self, *features: str) -> bool:
        """Whether the processor that is compiled for has all of these."""
        return {f"+{feature}" for feature in features} <= set(self.context.codegen().magic_tuple()[2].split(","))


def compiled_as(signature: Callable[..., Any], emit: Callable[[Code], Any]) -> Callable[[Callable[..., Any]], Any]:
    """Makes a plain function stand for `emit`'s vector code in kernels; `signature` makes the call's types of the arguments'."""

    def replaced(plain: Callable[..., Any]) -> Any:
        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
            return plain
        names = list(inspect.signature(plain).parameters)

        def typing(context: Any, *args: Any) -> Any:
            return signature(*args), lambda *call: emit(Code(names, *call))

        parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ["context", *names]]
        vars(typing)["__signature__"] = inspect.Signature(parameters)  # by which Numba tells arguments apart
        typing.__name__, typing.__doc__ = plain.__name__, plain.__doc__
        return intrinsic(typing)

    return replaced
