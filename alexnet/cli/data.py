"""`alexnet data`: prepare images for training, inspect them, list the datasets by name."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alexnet.base.errors import DataError, Stopped
from alexnet.base.names import distinct, listed
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
    float | None,
    typer.Option(
        "--val",
        help="Share held out for validation where there is no split, else 0.1. Leaves out what looks "
        "like a split and cannot be read as one.",
    ),
]
AllowedRejected = Annotated[
    float, typer.Option(min=0, max=1, help="Share of images that may be rejected.")
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
    val: Val = None,
    workers: WorkerCount = None,
    allowed_rejected: AllowedRejected = 0.01,
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
    val: Val = None,
    workers: WorkerCount = None,
    allowed_rejected: AllowedRejected = 0.01,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Decode every image and report what preparation would find; writes nothing.

    Exit code 3 where these images could not be trained on as they are, and why.
    """
    from alexnet import prepared
    from alexnet.sources import open_source

    source = open_source(src, validation_share=val, download=download)
    accounts = prepared.check(source, workers)
    findings = _findings(source, accounts)
    if as_json:
        print(json.dumps(findings, indent=1))
        _require_usable(source, accounts, allowed_rejected)
        return
    print(f"{source.spec}: {source.found}, {len(source.classes)} classes\n")
    print(_classes_table(source.titles, {s: _per_class(source, a) for s, a in accounts.items()}))
    print()
    print(_accounting_table({split: account.summary() for split, account in accounts.items()}))
    for line in [*_sizes(accounts), *_remarks(findings)]:
        print(line)
    for key, split, reason, detail in [row for a in accounts.values() for row in a.refused]:
        print(f"{split}/{key}: {reason} ({detail})")
    _require_usable(source, accounts, allowed_rejected)


def _require_usable(source: Source, accounts: dict[str, Account], allowed_rejected: float) -> None:
    """Raise DataError where `prepare` or `train` would refuse these images."""
    from alexnet.prepared.making import stop_if_too_many
    from alexnet.training.checks import require_splits, require_trainable

    if source.truncated:
        raise DataError(
            f"The archive breaks off {source.truncated}.",
            where=source.spec,
            remedy="Fetch it again, or use what is there: alexnet data prepare "
            f"{quote(source.spec)} --accept-truncated",
        )
    if not any(account.accepted for account in accounts.values()):
        raise DataError(
            f"None of the {source.count:,} images can be used.",
            where=source.spec,
            remedy="The reason is named with each image above.",
        )
    stop_if_too_many(accounts, allowed_rejected * source.count, source)
    require_splits(source.classes, source.splits, source.spec)
    images = {split: _per_class(source, account) for split, account in accounts.items()}
    require_trainable(source.classes, images, source.spec)


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
    from alexnet.sources import BUILTIN, NAMED_SETS, default_data_folder, located

    folder = default_data_folder()
    rows = [(name, "installed", about) for name, (_, about) in BUILTIN.items()]
    rows.append(("synthetic:NxK", "generated", "N striped images of K classes"))
    for name, named in NAMED_SETS.items():
        path = located(named)
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
    from alexnet.prepared import in_two_classes, in_two_splits

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
        "in_two_classes": in_two_classes(list(accounts.values())),
        "ignored": source.ignored,
        "warnings": source.warnings,
        "truncated": source.truncated,
        "refused": [row for account in accounts.values() for row in account.refused],
    }


def _classes_table(titles: tuple[str, ...], per_class: dict[str, list[int]]) -> str:
    rows = list(zip(distinct(titles), *per_class.values(), strict=True))
    return table(rows, ("class", *per_class))


def _accounting_table(accounting: dict[str, dict[str, int]]) -> str:
    names = ["inputs", "accepted", "rejected", "duplicates"]
    if any(account["contradictions"] for account in accounting.values()):
        names.append("contradictions")
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
    from alexnet.prepared.pixels import TURNED

    lines = []
    converted = {kind: count for kind, count in about["converted"].items() if kind != TURNED}
    if converted:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(converted.items()))
        lines.append(f"converted    {kinds}")
    if turned := about["converted"].get(TURNED):
        lines.append(
            f"rotation     {turned:,} with an EXIF rotation, which is not applied: images lie as they "
            "are stored. ImageMagick turns files: magick mogrify -auto-orient FILE"
        )
    if about["ignored"]:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(about["ignored"].items()))
        lines.append(f"ignored      {kinds}")
    for name, say in (("extreme_aspect", "longer than 10:1"), ("in_two_splits", "in two splits")):
        if about[name]:
            lines.append(f"{len(about[name]):,} {say}: {_some(about[name])}")
    if both := about["in_two_classes"]:
        lines.append(
            f"warning      {len(both):,} image{'s' * (len(both) > 1)} in two classes, so that a label is "
            f"wrong; of each split the first is used: {_some(both)}"
        )
    lines += [f"warning      {warning}" for warning in (*about["warnings"], *_lacking(about))]
    if about["truncated"]:
        lines.append(f"truncated    the archive ends {about['truncated']}")
    return lines


def _lacking(about: dict[str, Any]) -> list[str]:
    """A sentence for each split that has no usable image of some classes."""
    sentences = []
    for split, has in about["splits"].items():
        counts = zip(distinct(about["titles"]), has["per_class"], strict=True)
        lacking = [title for title, count in counts if not count]
        if has["images"] and lacking:
            sentences.append(f"{split!r} has no images of: {listed(lacking)}.")
    return sentences


def _some(items: list[Any]) -> str:
    return listed([one if isinstance(one, str) else " = ".join(one) for one in items], _NAMED)
