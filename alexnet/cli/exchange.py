"""`alexnet import`: weights of other programs become a model folder."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from alexnet.base.errors import UsageError
from alexnet.base.files import whole_folder
from alexnet.base.names import printable

if TYPE_CHECKING:
    from alexnet.models.sparsity import Sparsity

_LONG = 200  # characters of a note


def import_(
    file: Annotated[Path, typer.Argument(help="The weights: a file, or a model folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The new model folder.")],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="NAME",
            help="Where the file does not say: caffe, caffenet, cuda-convnet, torchvision, alexnet, "
            "onnx, pt2, or any network that `alexnet summary` knows.",
        ),
    ] = "",
    mean: Annotated[
        str,
        typer.Option(
            metavar="FILE|B,G,R",
            help="The mean image: binaryproto, .npy (blue first), batches.meta, or blue, green, red: "
            "104,117,123.",
        ),
    ] = "",
    classes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Names of the outputs: one a line, synset_words.txt, or JSON, a list or a dictionary.",
        ),
    ] = None,
    key: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Which weights, where a checkpoint has several: model, model_ema."
        ),
    ] = "",
) -> None:
    """Turn weights of Caffe, cuda-convnet or torchvision into a model folder.

    No code in the file is run: pickles, PyTorch's and cuda-convnet's, are read by an interpreter that
    looks up no name. What does not fit is refused with every difference.
    """
    from alexnet.exchange import read_foreign
    from alexnet.models.folder import save_model
    from alexnet.models.sparsity import is_sparse, sparsity

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            "This exists already, and nothing is overwritten.",
            where=out,
            remedy="Choose another folder: -o DIR",
        )
    found = read_foreign(file, source, mean, classes, key)
    network = found.network()
    for line in found.notes:
        print(_shown(line))
    count = sum(array.size for array in found.arrays.values())
    print(f"{count:,} parameters, {len(found.classes):,} classes.")
    layers = sparsity(found.arrays)
    print(_sparsity(layers) if is_sparse(layers) else "No layer is pruned or quantized.")
    with whole_folder(out) as folder:
        save_model(folder, network, found.card)
    print(f"Written: {printable(str(out))}")
    print(f"alexnet predict {quote(printable(str(out)))} IMAGE")


def _shown(line: str) -> str:
    """A note, whose names are the file's choice, that neither steers a terminal nor fills it."""
    line = printable(line[:_LONG])
    return line if len(line) < _LONG else f"{line[: _LONG - 4]} ..."


def _sparsity(layers: dict[str, Sparsity]) -> str:
    """Which layers have zeros or few values, in a sentence."""
    parts = []
    for name, one in layers.items():
        values = "" if one.values is None else f"{one.values} values"
        zeros = f"{one.zero:.1%} zero".replace("%", " %") if one.zero > 0.01 else ""
        if told := ", ".join(filter(None, (zeros, values))):
            parts.append(f"{name} {told}")
    return f"Pruned or quantized: {'; '.join(parts)}."
