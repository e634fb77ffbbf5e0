"""One door for other people's weights: what kind of file it is, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from alexnet.base.errors import DataError, IncompatibleError, UsageError, did_you_mean
from alexnet.base.files import sha256_of
from alexnet.conventions import CONVENTIONS, Convention
from alexnet.exchange import caffe, cuda_convnet, onnx, ours, program, programs, torchvision
from alexnet.exchange.checkpoints import kind_in
from alexnet.exchange.classes import class_names
from alexnet.exchange.description import Exported
from alexnet.exchange.imported import FoundWeights, Imported, checked, is_finite
from alexnet.exchange.mean import mean_image
from alexnet.exchange.tensors import is_safetensors
from alexnet.exchange.torch_file import is_torch
from alexnet.formats.pickles import is_pickle

FORMATS = {
    "caffe": "Caffe's .caffemodel",
    "cuda-convnet": "a checkpoint of cuda-convnet",
    "torchvision": "torchvision's alexnet",
    "alexnet": "weights of this package",
    "onnx": "an ONNX file of `alexnet export`",
    "pt2": "a PyTorch program of `alexnet export`",
}
_ONNX_HEAD = bytes((0x08, onnx.IR))  # its first field is the version of the format
_OTHER_MEAN = "Get the model again; a mean image can be given: --mean 104,117,123."
_HDF5_MAGIC = b"\x89HDF"
_CAFFE_TAGS = (0x0A, 0x12, 0x1A, 0xA2)  # of a network's name, layers, inputs, and layers since 2014


def read_foreign(
    path: Path,
    source: str = "",
    mean: str = "",
    classes: Path | None = None,
    key: str = "",
    known: Mapping[str, Convention] = CONVENTIONS,
) -> Imported:
    """Weights of another program, or ours, with all that a model folder needs; nothing is written.

    `source` names a format or a network where the file does not tell; `mean` and `classes` are as in
    `mean_image` and `class_names`; `key` says which weights, where a checkpoint has several. Everything
    is checked: names, shapes, counts, finite numbers. Raises UsageError, DataError or IncompatibleError,
    which name the file, what is wrong and what to do.
    """
    allowed = {*FORMATS, "caffenet", *known}
    if source and source not in allowed:
        raise UsageError(f"There is no format {source!r}.", remedy=did_you_mean(source, allowed))
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UsageError(
                "This folder is no model folder.",
                where=path,
                remedy="Give the file with the weights.",
            )
        return _changed(ours.read_own_folder(path), path, source, mean, classes)
    if not path.is_file():
        raise UsageError("There is no such file.", where=path)
    kind = format_of(path)
    if source in FORMATS and source != kind and not (source in known and kind == "alexnet"):
        raise IncompatibleError(
            f"It is {FORMATS[kind]}, not {FORMATS[source]}.", where=path, remedy=f"--from {kind}"
        )
    if key and kind not in _CHECKPOINTS:
        raise UsageError(
            f"--key {key!r} is of checkpoints, which {FORMATS[kind]} is not.", where=path
        )
    if kind in _WHOLE:
        source = "" if source == kind else source
        return _changed(_exported(kind, path), path, source, mean, classes)
    network = source if source in known else ""
    weights = _READERS[kind](path, network, known, key)
    if network and weights.convention.name != network:
        raise IncompatibleError(
            f"It is {FORMATS[kind]} of {weights.convention.name}, not of {network}.", where=path
        )
    arrays, converted = checked(weights, path)
    about = weights.convention
    names, titles, about_classes = class_names(classes, about.output.kernels)
    mean_HWC, about_mean = mean_image(mean, about)
    notes = (
        f"{path.name}: {FORMATS[kind]}.",
        *weights.notes,
        *converted,
        about_mean,
        about_classes,
    )
    provenance = {"imported_from": path.name, "format": kind, "sha256": sha256_of(path)}
    statistics = {"mean": mean_HWC}
    return Imported(
        arrays, about, names, titles, statistics, notes, {"mean": about_mean}, provenance
    )


def format_of(path: Path) -> str:
    """The key of FORMATS for a file, by its first bytes; raises DataError where they say nothing."""
    with open(path, "rb") as file:
        head = file.read(512)
    if is_safetensors(path):
        return kind_in(path)
    if head.startswith(b"PK") and (kind := programs.kind_of_zip(path)):
        return kind
    if is_torch(path):
        return kind_in(path)
    programs.require_no_old_tar(path, head)
    if head.startswith(_ONNX_HEAD):
        return "onnx"
    if is_pickle(path):
        return "cuda-convnet"
    if head.startswith(_HDF5_MAGIC):
        raise DataError(
            "Weights in HDF5 are not read.",
            where=path,
            remedy="In Caffe: snapshot_format: BINARYPROTO, or net.save('weights.caffemodel').",
        )
    if head and head[0] in _CAFFE_TAGS:
        return "caffe"
    raise DataError(
        "Its first bytes are not those of weights that can be read.",
        where=path,
        remedy=f"What can be read: {', '.join(FORMATS.values())}.",
    )


def _exported(kind: str, path: Path) -> Imported:
    """What `alexnet export` wrote, with its classes and statistics."""
    found = _WHOLE[kind](path)
    arrays, _ = checked(FoundWeights(found.arrays, found.convention), path)
    return Imported(
        arrays,
        found.convention,
        found.classes,
        found.titles,
        found.statistics,
        (f"{path.name}: {FORMATS[kind]}, of {found.convention.name}.",),
        provenance={"imported_from": path.name, "format": kind, "sha256": sha256_of(path)},
    )


def _changed(found: Imported, path: Path, source: str, mean: str, classes: Path | None) -> Imported:
    """A model that has all it needs, with other class names or another mean image if they are given.

    Raises DataError for statistics that are not finite, but for a mean image that is replaced.
    """
    if source not in ("", "alexnet", found.convention.name):
        raise IncompatibleError(
            f"It is a model of {found.convention.name}, not {source}.", where=path
        )
    notes = list(found.notes)
    if classes is not None:
        names, titles, line = class_names(classes, len(found.classes))
        found = replace(found, classes=names, titles=titles)
        notes.append(line)
    if mean:
        mean_HWC, line = mean_image(mean, found.convention)
        found = replace(
            found,
            statistics={**found.statistics, "mean": mean_HWC},
            preprocessing={**found.preprocessing, "mean": line},
        )
        notes.append(line)
    for name, array in found.statistics.items():
        if not is_finite(array):
            what = "mean image" if name == "mean" else f"statistics {name[:40]!r}"
            raise DataError(
                f"Its {what} has numbers that are not finite.", where=path, remedy=_OTHER_MEAN
            )
    return replace(found, notes=tuple(notes))


_Reader = Callable[[Path, str, Mapping[str, Convention], str], FoundWeights]
_READERS: Mapping[str, _Reader] = {
    "caffe": lambda path, network, known, _: caffe.read_caffe(path, network, known),
    "cuda-convnet": lambda path, network, known, _: cuda_convnet.read_cuda_convnet(
        path, network, known
    ),
    "torchvision": lambda path, _, known, key: torchvision.read_torchvision(path, known, key),
    "alexnet": ours.read_own,
}
_CHECKPOINTS = ("torchvision", "alexnet")  # files that may have several weights

# Files with classes and statistics beside the weights.
_WHOLE: Mapping[str, Callable[[Path], Exported]] = {"onnx": onnx.read_onnx, "pt2": program.read_pt2}
