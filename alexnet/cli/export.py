"""`alexnet export`: a trained network in the formats of other programs, verified before it is kept."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from alexnet.base.errors import DataError, UsageError, did_you_mean
from alexnet.base.files import require_space, whole_folder
from alexnet.cli.options import AsJson
from alexnet.cli.tables import table

if TYPE_CHECKING:
    from alexnet.exchange.check import OutputDifference
    from alexnet.models.found import FoundModel


_FLOAT = 4  # bytes
_SPARE = 16 * 10**6  # bytes beside the weights: mean image, metadata, graph
_MODEL_FILES = {"README.md", "config.json", "model.safetensors", "statistics.safetensors"}


class ExportResult(NamedTuple):
    """The files, and what the check of them found, if there was one."""

    files: list[Path]
    apart: OutputDifference | None
    checked_by: str


def export(
    model: Annotated[str, typer.Argument(help="A run, a model folder or a .safetensors file.")],
    kind: Annotated[str, typer.Option("--format", help="safetensors, onnx, pt2 or caffe.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The file; for safetensors and caffe a folder.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Export a model to ONNX, plain PyTorch, Hugging Face's tools, or Caffe."""
    from alexnet.models.arrays import parameter_shapes
    from alexnet.models.find import find_model
    from alexnet.models.folder import convention_of

    if kind not in _WRITERS:
        raise UsageError(f"There is no format {kind!r}.", remedy=did_you_mean(kind, _WRITERS))
    found = find_model(model)
    _require_free(output, kind, force)
    shapes = parameter_shapes(convention_of(found.config())).values()
    needed = _FLOAT * sum(map(prod, shapes)) + _SPARE
    there = next(folder for folder in output.absolute().parents if folder.exists())
    require_space(there, needed, f"Exporting as {kind}", "Free some space, or choose another disk.")
    exported = _WRITERS[kind](found, output)
    if as_json:
        _print_json(exported)
        return
    print(table([(str(path), _size(path.stat().st_size)) for path in exported.files]))
    if exported.apart is not None:
        print(
            f"{exported.checked_by} computes the same: probabilities differ by at most "
            f"{exported.apart.probability:.1e}, logits by {exported.apart.logit:.1e} of the largest."
        )


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 10**5 else f"{count / 1e3:,.1f} kB"


def _print_json(exported: ExportResult) -> None:
    files = [{"file": str(path), "bytes": path.stat().st_size} for path in exported.files]
    apart = exported.apart and exported.apart._asdict()
    about = {"written": files, "checked_by": exported.checked_by, "difference": apart}
    print(json.dumps(about, indent=1))


def _require_free(output: Path, kind: str, force: bool) -> None:
    """Nothing is where the output goes, or what may be replaced; raises UsageError."""
    is_folder = kind in ("safetensors", "caffe")
    if not output.exists() or (is_folder and output.is_dir() and not any(output.iterdir())):
        return
    if output.is_dir() != is_folder:
        what = "a folder" if is_folder else "a file"
        raise UsageError(f"{kind} is written as {what}, which this is not.", where=output)
    if not force:
        raise UsageError(
            "This exists already.", where=output, remedy="Choose another name, or --force."
        )
    if kind == "safetensors" and not {path.name for path in output.iterdir()} <= _MODEL_FILES:
        raise UsageError(
            "The folder holds other files than a model's, so it is not replaced.",
            where=output,
            remedy="Choose another folder.",
        )


def _write_safetensors(found: FoundModel, output: Path) -> ExportResult:
    """A model folder, whole or not at all where there was none; file by file where there was one."""
    from alexnet.evaluation.results import results_of
    from alexnet.models import load_model, save_model
    from alexnet.models.arrays import parameters_of
    from alexnet.models.card import public

    network, card = found.load()
    card = replace(card, provenance=public(card.provenance))
    results = results_of(found)
    is_new = not output.exists() or not any(output.iterdir())
    with whole_folder(output) if is_new else nullcontext(output) as folder:
        save_model(folder, network, card, results)
        mine, again = parameters_of(network), parameters_of(load_model(folder)[0])
        if not all((again[name] == one).all() for name, one in mine.items()):
            raise DataError("The folder does not hold the weights it was given.", where=output)
    return ExportResult(sorted(output.iterdir()), None, "")


def _write_onnx(found: FoundModel, output: Path) -> ExportResult:
    from alexnet.exchange.onnx import export_onnx

    return ExportResult([output], export_onnx(*found.load(), output), "onnxruntime")


def _write_pt2(found: FoundModel, output: Path) -> ExportResult:
    from alexnet.exchange.program import export_pt2

    return ExportResult([output], export_pt2(*found.load(), output), "PyTorch alone")


def _write_caffe(found: FoundModel, output: Path) -> ExportResult:
    from alexnet.exchange.caffe_writer import write_caffe

    return ExportResult(write_caffe(*found.load(), output), None, "")


_WRITERS = {
    "safetensors": _write_safetensors,
    "onnx": _write_onnx,
    "pt2": _write_pt2,
    "caffe": _write_caffe,
}
