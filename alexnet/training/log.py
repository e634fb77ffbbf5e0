"""What a run's log says first, of what is about to be trained, and last, of what came of it."""

from __future__ import annotations

from collections.abc import Iterable

from alexnet.base import ranks
from alexnet.base.provenance import memory_bytes
from alexnet.network.devices import describe_device
from alexnet.prepared import PreparedDataset, upgrades
from alexnet.runs import Run
from alexnet.training.checks import per_class
from alexnet.training.placement import Placement
from alexnet.training.plan import Plan
from alexnet.verdict import sentence, tally_of


def introduction(run: Run, plan: Plan, placement: Placement) -> Iterable[str]:
    """The first lines of a run's log."""
    config, dataset = plan.config, plan.dataset
    counts = f"{len(dataset.split('train')):,} / {len(dataset.split('val')):,}"
    yield f"data    {dataset.folder}: {counts} images, {len(dataset.classes)} classes"
    if upgraded := upgrades(dataset):
        yield f"note    the data were {upgraded}"
    yield f"recipe  {config.recipe}: {config.length}, batches of {config.optimizer.batch}"
    yield from plan.notes
    yield from plan.warnings
    both = ", ".join(describe_device(one) for one in (placement.device, placement.second) if one)
    yield f"device  {both}, {placement.precision}"
    if ranks.world() > 1 or placement.layout != "fused":
        several = f"{ranks.world()} processes" if ranks.world() > 1 else "one process"
        yield f"layout  {placement.layout}, on {several}"
    yield f"run     {run.folder}"
    shards = dataset.description["splits"]["train"]["shards"]
    size, memory = sum(shard["bytes"] for shard in shards), memory_bytes()
    if size > memory and config.loading.shuffle == "full":
        yield (
            f"! the images ({size / 1e9:.0f} GB) are more than this machine's memory "
            f"({memory / 1e9:.0f} GB): --set loading.shuffle=blocks reads them in runs of neighbours"
        )


def verdict_of(run: Run, dataset: PreparedDataset) -> str:
    """What the last validation of a run says, in words; empty where none has counted the answers."""
    rows = [row for row in run.metrics() if row["kind"] == "epoch" and "val_answered" in row]
    if not rows:
        return ""
    counts = per_class(dataset)["val"]
    wrong = round(rows[-1]["val_top1_error"] * sum(counts))
    told = tally_of(counts, wrong, rows[-1]["val_answer"], rows[-1]["val_answered"])
    return f"validation, centre view: {sentence(told, dataset.titles)}"
