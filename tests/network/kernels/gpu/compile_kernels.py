"""Compile every kernel for an H100, which needs no GPU: `python compile_kernels.py`, without interpreter.

Prints one JSON object a kernel: its name, registers, bytes of stack (registers that did not fit), and
whether it reads sixteen bytes at once.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from alexnet.loading import gpu as loading
from alexnet.network.kernels.gpu import block, block_kernels, dropout
from alexnet.training import update

H100 = GPUTarget("cuda", 90, 32)
CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
INTEGERS = {*("outputs", "pixels", "size", "width", "units", "start"), *"HWCYX"}
WHOLE = {"C", "size", "width", "units", "start"}  # multiples of 16 in the full network
POINTERS = {"tap": "*u8", "images": "*u8", "cuts": "*i32", "address": "*i64", "go": "*i32"}
FLOAT32 = {"mean", "w", "v", "rates", "dbias"}


def kernels() -> Iterator[tuple[str, Any, dict[str, Any], dict[str, str]]]:
    """Name, kernel, constants and the types of its tensors, as the full network uses them."""
    for kind in ("bf16", "fp32"):
        for width, lrn in ((48, (2, 1e-4)), (128, (2, 1e-4)), (128, (0, 0.0))):
            constants = block._variant(width, *lrn, 0.75, 3, 2)
            name = f"of {width} maps, {'normalized' if lrn[0] else 'not'}, {kind}"
            yield f"block forward {name}", block_kernels.forward, constants, {"": kind}
            constants = {**constants, "TILES": block._TILES}
            yield f"block backward {name}", block_kernels.backward, constants, {"": kind}
        constants = {"LANE": 5, "PURPOSE": 4, "LIMIT": dropout._LIMIT, "BLOCK": dropout._BLOCK}
        yield f"dropout {kind}", dropout._forward, constants, {"": kind}
        yield f"dropout backward {kind}", dropout._backward, {"BLOCK": 1024}, {"": kind}
        constants = {"SIDE": 256, "CROP": 224, "BLOCK": loading.PER_PROGRAM}
        yield f"cut {kind}", loading._cut, constants, {"": kind}
        constants = {"DECAYS": True, "COPIES": kind == "bf16", "BLOCK": update._BLOCK}
        yield f"update {kind}", update._update, constants, {"": kind}


def compiled(kernel: Any, constants: dict[str, Any], kinds: dict[str, str]) -> dict[str, Any]:
    """What came out for an H100."""
    warps = constants.pop("num_warps", 4)
    signature, aligned = {}, {}
    for place, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
        elif name in INTEGERS:
            signature[name] = "i32"
        elif name in POINTERS or name in FLOAT32 or name not in ("k", "alpha", "beta", "momentum"):
            default = "*fp32" if name in FLOAT32 else f"*{kinds['']}"
            signature[name] = POINTERS.get(name, default)
        else:
            signature[name] = "fp32"
        if signature[name].startswith("*") or name in WHOLE:
            aligned[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constexprs=constants, attrs=aligned)
    binary = triton.compile(source, target=H100, options={"num_warps": warps})
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary.asm["cubin"])
        file.flush()
        command = [str(CUOBJDUMP), "-res-usage", file.name]
        used = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, stack = re.findall(r"REG:(\d+) STACK:(\d+)", used)[0]
    wide = bool(re.search(r"ld\.global\S*\.v4\.b32", binary.asm["ptx"]))
    return {"registers": int(registers), "stack": int(stack), "wide": wide}


if __name__ == "__main__":
    for name, kernel, constants, kinds in kernels():
        print(json.dumps({"kernel": name, **compiled(kernel, constants, kinds)}), flush=True)
