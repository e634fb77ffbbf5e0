"""`alexnet summary`: a network layer by layer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alexnet import paper
from alexnet.cli.options import AsJson
from alexnet.cli.tables import table
from alexnet.conventions import CONVENTIONS

if TYPE_CHECKING:
    from alexnet.conventions import Convention
    from alexnet.models.found import FoundModel
    from alexnet.models.sparsity import Sparsity
    from alexnet.network.table import Shape


_COSTS = ("neurons", "parameters", "multiply_adds")
_FLOAT = 4  # bytes
_PROCESSES, _GIGABITS = (2, 4, 8), (1, 10, 100)  # for which `--layout` computes


def summary(
    model: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL]",
            help=f"A run, a model folder, or a network: {', '.join(CONVENTIONS)}.",
        ),
    ] = "paper",
    compare: Annotated[
        str, typer.Option(metavar="MODEL", help="Show what differs from this one.")
    ] = "",
    layout: Annotated[
        bool, typer.Option("--layout", help="Show what several processes would send to each other.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a network layer by layer, or what differs between two."""
    from alexnet.network.table import shapes

    about, trained = _convention(model)
    if compare:
        _show_differences(about, _convention(compare)[0], (model, compare), as_json)
        return
    if layout:
        _show_traffic(about, as_json)
        return
    rows = shapes(about)
    totals = {
        "neurons": sum(row.neurons for row in rows),
        "parameters": sum(row.parameters for row in rows),
        "multiply_adds": sum(row.multiply_adds for row in rows),
    }
    sparse = _sparsity(trained, about) if trained else {}
    if as_json:
        found = {
            "model": model,
            "convention": about.name,
            "layers": [
                _layer_as_dict(row, about)
                | (sparse[row.layer.name]._asdict() if row.layer.name in sparse else {})
                for row in rows
            ],
            "totals": {**totals, **_bytes(totals)},
        }
        print(json.dumps(found, indent=1))
        return
    headers: tuple[str, ...] = (
        "layer",
        "kernels",
        "each sees",
        "stride",
        "padding",
        "output",
        "pooled",
    )
    lines = [_layer_as_row(row, about) for row in rows]
    headers = (*headers, "neurons", "parameters", "mult-adds")
    print(table(*_with_sparsity(lines, headers, sparse)))
    print()
    print(table(_totals(totals, is_papers=about.name == "paper")))
    print()
    if about.columns > 1:
        print(
            "Kernels are those of column 1 + column 2; each sees the maps of its own column or of both."
        )
    print("Padding: left and top, right and bottom.")


def _convention(model: str) -> tuple[Convention, FoundModel | None]:
    """A network by its name, or a trained one."""
    from alexnet.conventions import CONVENTIONS, convention
    from alexnet.models.find import find_model
    from alexnet.models.folder import convention_of

    if model.removeprefix("alexnet.") in (*CONVENTIONS, "alexnet"):
        found = convention(model)
        return found.with_classes(CONVENTIONS[found.name].output.kernels), None
    trained = find_model(model)
    return convention_of(trained.config()), trained


def _sparsity(trained: FoundModel, about: Convention) -> dict[str, Sparsity]:
    """Of the layers of a trained network, the share of zeros and the number of distinct values."""
    from alexnet.exchange.imported import refused
    from alexnet.models.arrays import misfits
    from alexnet.models.sparsity import sparsity

    arrays = trained.arrays()
    if wrong := misfits(arrays, about):
        raise refused(wrong, about, trained.folder)
    return sparsity(arrays)


def _with_sparsity(
    lines: list[tuple[object, ...]], headers: tuple[str, ...], sparse: dict[str, Sparsity]
) -> tuple[list[tuple[object, ...]], tuple[str, ...]]:
    """The table, with two more columns where a layer has many zeros or few distinct values."""
    from alexnet.models.sparsity import is_sparse

    if not is_sparse(sparse):
        return lines, headers
    columns = [
        (f"{100 * sparse[str(line[0])].zero:.1f}", sparse[str(line[0])].values or "")
        for line in lines
    ]
    wider = [(*line, *column) for line, column in zip(lines, columns, strict=True)]
    return wider, (*headers, "zero %", "values")


def _show_differences(
    first: Convention, second: Convention, names: tuple[str, str], as_json: bool
) -> None:
    from alexnet.network.compare import differences

    rows = differences(first, second)
    if as_json:
        print(json.dumps([row._asdict() for row in rows], indent=1))
        return
    if not rows:
        print(f"{names[0]} and {names[1]} are the same network.")
        return
    print(table([tuple(row) for row in rows], ("", *names)))
    print()
    for name, one in zip(names, (first, second), strict=True):
        print(f"{name}: {one.about}.")
    print(
        "All else is the same in both. Alpha multiplies the sum of squares, as the paper prints it."
    )


def _show_traffic(about: Convention, as_json: bool) -> None:
    """Bytes that each process sends in a step, by layout, and how long they take."""
    from alexnet.network.traffic import LAYOUTS, traffic

    known = [one for one in LAYOUTS if one != "columns" or about.comes_apart]
    cases = [(one, count) for count in _PROCESSES for one in known]
    found = [(one, count, traffic(one, count, convention=about)) for one, count in cases]
    if as_json:
        keys = ("layout", "processes", "activations", "gradients")
        print(
            json.dumps(
                [dict(zip(keys, (*row, *sent), strict=True)) for *row, sent in found], indent=1
            )
        )
        return
    rows = [
        (
            one,
            count,
            *(f"{part / 1e6:,.1f}" for part in (sent.activations, sent.gradients, sent.bytes)),
            *(f"{1e3 * 8 * sent.bytes / (gigabits * 1e9):,.1f}" for gigabits in _GIGABITS),
        )
        for one, count, sent in found
    ]
    links = [f"ms at {gigabits} Gbit/s" for gigabits in _GIGABITS]
    print(table(rows, ("layout", "processes", "activations MB", "gradients MB", "sum MB", *links)))
    print()
    print(
        f"What each process sends in a step of {paper.BATCH} images in float32; it receives as much. "
        "Gradients are\nsummed in a ring, and overlap with the backward pass as far as it lasts."
    )


def _layer_as_row(row: Shape, about: Convention) -> tuple[object, ...]:
    from alexnet.network.compare import kernels, sees, size_of
    from alexnet.network.table import is_connected

    layer, over_places = row.layer, not is_connected(row.layer)
    return (
        layer.name,
        kernels(row, about),
        sees(row, about),
        layer.stride if over_places else "",
        "{}, {}".format(*layer.padding) if over_places else "",
        size_of(row.outputs) if over_places else "",
        size_of(row.pooled) if row.pooled != row.outputs else "",
        row.neurons,
        row.parameters,
        row.multiply_adds,
    )


def _layer_as_dict(row: Shape, about: Convention) -> dict[str, Any]:
    """A row of the table with its costs, in all and of each column."""
    from alexnet.network.table import half

    costs = {name: getattr(row, name) for name in _COSTS}
    columns = []
    for column in range(about.columns):
        part = half(row.layer.kernels, column) if about.columns > 1 else slice(row.layer.kernels)
        share = len(range(row.layer.kernels)[part])
        own = {name: cost * share // row.layer.kernels for name, cost in costs.items()}
        columns.append({"kernels": share, **own, **_bytes(own)})
    return {
        **row.layer._asdict(),
        "inputs": row.inputs,
        "outputs": row.outputs,
        "pooled": row.pooled,
        "groups": row.groups,
        **costs,
        **_bytes(costs),
        "columns": columns,
    }


def _bytes(costs: dict[str, int]) -> dict[str, int]:
    """In float32: an image's activations, those of the layer's sums, and the weights with biases."""
    return {
        "activation_bytes": _FLOAT * costs["neurons"],
        "weight_bytes": _FLOAT * costs["parameters"],
    }


def _totals(totals: dict[str, int], is_papers: bool) -> list[tuple[object, ...]]:
    if not is_papers:
        return [(name.replace("_", "-"), count) for name, count in totals.items()]
    slip = f"{paper.NEURONS_PRINTED[0]:,} printed for conv1 should be {paper.NEURONS_CONV1:,}"
    millions = paper.PARAMETERS_CLAIMED // 10**6
    return [
        ("neurons", totals["neurons"], f"paper: {paper.NEURONS_CLAIMED:,}; its {slip}"),
        ("parameters", totals["parameters"], f"paper: {millions} million, with 1000 classes"),
        ("multiply-adds", totals["multiply_adds"], "one image, forward"),
    ]
