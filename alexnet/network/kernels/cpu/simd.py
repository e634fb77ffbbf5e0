"""Vectors in LLVM's own terms, for the few loops that decide the speed of everything.

A compiler that vectorizes loops by itself gets half of what a processor can multiply: it does not keep
a block of results in registers while it runs through the sums. So these loops are written here vector
by vector, as `intrinsic` functions that Numba's compiled code calls like any other; LLVM still chooses
the instructions, so nothing here is made for one processor only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils

_FEATURES = llvm.get_host_cpu_features()
_HAS_512_BITS = bool(_FEATURES.get("avx512f"))
# float32 numbers in a vector, and vectors in a row of a block of results that stays in registers:
# a block of 6 rows takes 24 of 32 registers, or 12 of 16.
LANES = 16 if _HAS_512_BITS else 8 if _FEATURES.get("avx") else 4
MOST_VECTORS = 4 if _HAS_512_BITS or not _FEATURES.get("sse2") else 2

INDEX = ir.IntType(64)
_FLOAT, _BYTE = ir.FloatType(), ir.IntType(8)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_BYTES = ir.VectorType(_BYTE, LANES)
_SHUFFLE = ir.VectorType(ir.IntType(32), LANES)

_ESTIMATE = ("afn", "arcp", "reassoc", "nsz", "contract")


class Emitter:
    """Writes vector instructions at a builder's place; every value is an LLVM value."""

    def __init__(self, context: Any, builder: ir.IRBuilder) -> None:
        self.context, self.builder = context, builder
        self.zero = ir.Constant(_VECTOR, [0.0] * LANES)

    def pointer(self, kind: Any, array: ir.Value, place: ir.Value) -> ir.Value:
        """Where element `place` of a Numba array of contiguous float32 lies."""
        data = self.context.make_array(kind)(self.context, self.builder, array).data
        return self.builder.gep(data, [place])

    def at(self, pointer: ir.Value, *offsets: ir.Value | int) -> ir.Value:
        """The pointer moved by offsets in elements."""
        for offset in offsets:
            step = INDEX(offset) if isinstance(offset, int) else offset
            pointer = self.builder.gep(pointer, [step])
        return pointer

    def load(self, pointer: ir.Value) -> ir.Value:
        """The vector that begins at a float32."""
        value = self.builder.load(self.builder.bitcast(pointer, _VECTOR.as_pointer()))
        value.align = 4
        return value

    def store(self, vector: ir.Value, pointer: ir.Value) -> None:
        """Write a vector from a float32 on."""
        place = self.builder.bitcast(pointer, _VECTOR.as_pointer())
        self.builder.store(vector, place).align = 4

    def expect_store(self, pointer: ir.Value) -> None:
        """Fetch the line of a float32 that will be written soon: stores that miss wait in a row."""
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer()] + [ir.IntType(32)] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        place = self.builder.bitcast(pointer, _BYTE.as_pointer())
        word = ir.IntType(32)
        self.builder.call(function, [place, word(1), word(3), word(1)])

    def variable(self) -> ir.Value:
        """A vector that loops may change; LLVM keeps it in a register."""
        return cgutils.alloca_once(self.builder, _VECTOR)

    def everywhere(self, scalar: ir.Value) -> ir.Value:
        """A vector of one float32, again and again."""
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.IntType(32)(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(_SHUFFLE, [0] * LANES))

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """a * b + c, rounded once."""
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        name = f"llvm.fma.v{LANES}f32"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [a, b, c])

    def combine(self, coefficients: Sequence[float], values: Sequence[ir.Value]) -> ir.Value:
        """The sum of coefficient * vector; zeros and ones cost nothing."""
        total = None
        for coefficient, value in zip(coefficients, values, strict=True):
            if coefficient == 0:
                continue
            if total is None:
                total = (
                    value if coefficient == 1 else self.builder.fmul(self.of(coefficient), value)
                )
            elif coefficient == 1:
                total = self.builder.fadd(total, value)
            elif coefficient == -1:
                total = self.builder.fsub(total, value)
            else:
                total = self.fma(self.of(coefficient), value, total)
        return self.zero if total is None else total

    def shifted(self, first: ir.Value, second: ir.Value, by: int) -> ir.Value:
        """The vector that begins `by` elements into two vectors laid end to end."""
        places = ir.Constant(_SHUFFLE, list(range(by, by + LANES)))
        return self.builder.shuffle_vector(first, second, places)

    def inverse_root(self, value: ir.Value) -> ir.Value:
        """1 / sqrt(value), good to a unit or two in the last place; LLVM may estimate and refine."""
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        name = f"llvm.sqrt.v{LANES}f32"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        root = self.builder.call(function, [value], fastmath=_ESTIMATE)
        return self.builder.fdiv(self.of(1), root, flags=_ESTIMATE)

    def bytes(self, value: int) -> ir.Constant:
        """A byte, once for each element of a vector."""
        return ir.Constant(_BYTES, [value] * LANES)

    def every_byte(self, value: ir.Value) -> ir.Value:
        """The low byte of a whole number, once for each element of a vector."""
        byte, undefined = self.builder.trunc(value, _BYTE), ir.Constant(_BYTES, ir.Undefined)
        first = self.builder.insert_element(undefined, byte, ir.IntType(32)(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(_SHUFFLE, [0] * LANES))

    def load_bytes(self, pointer: ir.Value) -> ir.Value:
        """As many bytes as a vector has elements."""
        value = self.builder.load(self.builder.bitcast(pointer, _BYTES.as_pointer()))
        value.align = 1
        return value

    def store_bytes(self, value: ir.Value, pointer: ir.Value) -> None:
        """Write as many bytes as a vector has elements."""
        place = self.builder.bitcast(pointer, _BYTES.as_pointer())
        self.builder.store(value, place).align = 1

    def where(self, condition: ir.Value, yes: ir.Value, no: ir.Value) -> ir.Value:
        """`yes` or `no`, vectors or pointers, without a branch."""
        return self.builder.select(condition, yes, no)

    def positive(self, value: ir.Value) -> ir.Value:
        """Which elements of a vector are above zero; what is not a number counts as above."""
        return self.builder.fcmp_unordered(">", value, self.zero)

    @staticmethod
    def of(value: float) -> ir.Constant:
        """A vector of one constant."""
        return ir.Constant(_VECTOR, [float(value)] * LANES)
