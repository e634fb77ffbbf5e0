"""`alexnet data`: prepare images for training, inspect them, list the datasets by name."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alexnet.base.errors import Stopped
from alexnet.cli.options import AsJson, Download
from alexnet.cli.tables import table

if TYPE_CHECKING:
    from alexnet.prepared import Account, PreparedDataset
    from alexnet.sources import Source

app = typer.Typer(help="Prepare and inspect images.", no_args_is_help=True)

_NAMED = 20  # rejected images that `check` and `prepare` name on the screen

Src = Annotated[
    str,
    typer.Argument(
        metavar="SRC",
        help="Class-per-folder directory, tar file, cifar10[:DIR], imagenette[:DIR], "
        "builtin:photos, builtin:digits or synthetic:NxK.",
    ),
]
Val = Annotated[
    float, typer.Option("--val", help="Share held out for validation where there is no split.")
]
WorkerCount = Annotated[int | None, typer.Option("--workers", min=1, help="Default: all cores.")]
Prepared = Annotated[Path, typer.Argument(metavar="DIR", help="A prepared dataset.")]


@app.command()
def prepare(
    src: Src,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Default: prepared/NAME.")
    ] = None,
    storage: Annotated[
        str, typer.Option(help="raw: fastest, 197 kB an image; jpeg: about 40 kB.")
    ] = "raw",
    side: Annotated[int, typer.Option(help="Pixels: 256, or 32 for the nets of CIFAR-10.")] = 256,
    val: Val = 0.1,
    workers: WorkerCount = None,
    allowed_rejected: Annotated[
        float, typer.Option(min=0, max=1, help="Share of images that may be rejected.")
    ] = 0.01,
    accept_truncated: Annotated[
        bool, typer.Option("--accept-truncated", help="Use what a truncated archive holds.")
    ] = False,
    download: Download = False,
) -> None:
    """Turn images into 256x256 pixels (or --side), with the mean image and the colour PCA.

    An interrupted preparation is continued by the same command.
    """
    from alexnet import api

    try:
        dataset = api.prepare(
            src,
            out,
            storage=storage,
            side=side,
            validation_share=val,
            workers=workers,
            allowed_rejected=allowed_rejected,
            accept_truncated=accept_truncated,
            download=download,
        )
    except KeyboardInterrupt:
        raise Stopped(
            "Stopped; whole shards are kept.",
            signal_number=signal.SIGINT,
            remedy="The same command continues where this one stopped.",
        ) from None
    _show_dataset(dataset)


@app.command()
def check(
    src: Src,
    val: Val = 0.1,
    workers: WorkerCount = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Decode every image and report what preparation would find; writes nothing."""
    from alexnet import prepared
    from alexnet.sources import open_source

    source = open_source(src, validation_share=val, download=download)
    accounts = prepared.check(source, workers)
    if as_json:
        print(json.dumps(_findings(source, accounts), indent=1))
        return
    print(f"{source.spec}: {source.found}, {len(source.classes)} classes\n")
    print(_classes_table(source.titles, {s: _per_class(source, a) for s, a in accounts.items()}))
    print()
    print(_accounting_table({split: account.summary() for split, account in accounts.items()}))
    for line in [*_sizes(accounts), *_remarks(_findings(source, accounts))]:
        print(line)
    for key, split, reason, detail in [row for a in accounts.values() for row in a.refused]:
        print(f"{split}/{key}: {reason} ({detail})")


@app.command()
def info(
    folder: Prepared,
    as_json: AsJson = False,
) -> None:
    """Show what a prepared dataset holds and how it was made."""
    from alexnet.prepared import PreparedDataset

    dataset = PreparedDataset.open(folder)
    if as_json:
        print(json.dumps({"fingerprint": dataset.fingerprint, **dataset.description}, indent=1))
        return
    per_class = {name: part["per_class"] for name, part in dataset.description["splits"].items()}
    print(_classes_table(dataset.titles, per_class))
    print()
    _show_dataset(dataset)
    made = dataset.description["made"]
    print(f"resized      {made['rule']}; {made['filter']}; stored as {made['storage']}")
    print(f"colours      {made['colours']}")
    red, green, blue = dataset.statistics.mean_HWC.mean(axis=(0, 1))
    print(f"mean         red {red:.1f}, green {green:.1f}, blue {blue:.1f}")
    deviations = ", ".join(f"{value:.1f}" for value in dataset.statistics.deviations_3)
    print(f"colour PCA   standard deviations {deviations}")


@app.command()
def verify(folder: Prepared) -> None:
    """Read every byte of a prepared dataset and compare it with its hash."""
    from alexnet import prepared

    whole = prepared.verify(folder)
    for name in whole.unknown:
        print(f"warning      {folder / name} is a shard that does not belong to the dataset")
    print(
        f"whole        {folder}  {whole.files:,} files, {whole.bytes / 1e9:,.1f} GB, "
        f"fingerprint {whole.dataset.fingerprint[:12]}"
    )


@app.command("list")
def list_sets(as_json: AsJson = False) -> None:
    """List the datasets that have a name, and where they are found."""
    from alexnet.sources import BUILTIN, NAMED_SETS, default_data_folder, find

    folder = default_data_folder()
    rows = [(name, "installed", about) for name, (_, about) in BUILTIN.items()]
    rows.append(("synthetic:NxK", "generated", "N striped images of K classes"))
    for name, named in NAMED_SETS.items():
        path = find(named, folder)
        rows.append((name, str(path) if path else f"not in {folder}", named.about))
    if as_json:
        names = ("name", "found", "about")
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=1))
    else:
        print(table(rows, ("name", "found", "what")))


def _show_dataset(dataset: PreparedDataset) -> None:
    description = dataset.description
    print(_accounting_table(description["accounting"]))
    for line in _remarks(description):
        print(line)
    rejected = sum(account["rejected"] for account in description["accounting"].values())
    if rejected:
        print(f"rejected     {rejected:,}, named in {dataset.folder / 'rejected.csv'}")
    print(f"prepared     {dataset.folder}  fingerprint {dataset.fingerprint[:12]}")


def _per_class(source: Source, account: Account) -> list[int]:
    return [account.labels[label] for label in range(len(source.classes))]


def _findings(source: Source, accounts: dict[str, Account]) -> dict[str, Any]:
    """What `check` saw, by the names that dataset.json has for it."""
    from alexnet.prepared import in_two_splits

    return {
        "source": {"spec": source.spec, "found": source.found, "identity": source.identity},
        "classes": source.classes,
        "titles": source.titles,
        "splits": {
            split: {"images": len(account.accepted), "per_class": _per_class(source, account)}
            for split, account in accounts.items()
        },
        "accounting": {split: account.summary() for split, account in accounts.items()},
        "converted": sum((account.kinds for account in accounts.values()), Counter[str]()),
        "extreme_aspect": [f"{a.split}/{key}" for a in accounts.values() for key in a.extreme],
        "in_two_splits": in_two_splits(list(accounts.values())),
        "ignored": source.ignored,
        "warnings": source.warnings,
        "truncated": source.truncated,
        "refused": [row for account in accounts.values() for row in account.refused],
    }


def _classes_table(titles: tuple[str, ...], per_class: dict[str, list[int]]) -> str:
    rows = list(zip(titles, *per_class.values(), strict=True))
    return table(rows, ("class", *per_class))


def _accounting_table(accounting: dict[str, dict[str, int]]) -> str:
    names = ("inputs", "accepted", "rejected", "duplicates")
    rows = [(split, *(account[name] for name in names)) for split, account in accounting.items()]
    return table(rows, ("split", *names))


def _sizes(accounts: dict[str, Account]) -> list[str]:
    """One line on the shorter sides of all images."""
    sides = sorted(sum((a.shorter_sides for a in accounts.values()), Counter[int]()).elements())
    if not sides:
        return []
    middle = sides[len(sides) // 2]
    return [f"shorter side {sides[0]} to {sides[-1]} pixels, median {middle}"]


def _remarks(about: dict[str, Any] | Any) -> list[str]:
    """What is worth a look: conversions, odd shapes, leaks, what was ignored, warnings."""
    lines = []
    if about["converted"]:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(about["converted"].items()))
        lines.append(f"converted    {kinds}")
    if about["ignored"]:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(about["ignored"].items()))
        lines.append(f"ignored      {kinds}")
    for name, say in (("extreme_aspect", "longer than 10:1"), ("in_two_splits", "in two splits")):
        if about[name]:
            lines.append(f"{say}: {_some(about[name])}")
    lines += [f"warning      {warning}" for warning in about["warnings"]]
    if about["truncated"]:
        lines.append(f"truncated    the archive ends {about['truncated']}")
    return lines


def _some(items: list[Any]) -> str:
    shown = [item if isinstance(item, str) else " = ".join(item) for item in items[:_NAMED]]
    more = f" and {len(items) - len(shown):,} more" if len(items) > len(shown) else ""
    return ", ".join(shown) + more
