"""The images that a run goes on with: where they lie now, and what has become of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from alexnet.base.errors import AlexNetError, DataError
from alexnet.prepared import PreparedDataset, changed_since
from alexnet.runs import Run, typed


def data_of(run: Run) -> PreparedDataset:
    """The prepared set of a run: as seen from the run, which a project that was moved as a whole keeps,
    or where it was. One that is as it was goes before one that has changed.

    Raises DataError, with the command that names it, where neither is there.
    """
    found = list(_sets(run.data_folders))
    if not found:
        raise DataError(
            "The images of this run are not where they were.",
            where=run.data["folder"],
            remedy=f"If they were moved, or the folder renamed: {_command(run)}",
        )
    return next((one for one in found if is_of(run, one)), found[0])


def is_of(run: Run, dataset: PreparedDataset) -> bool:
    """Whether these are the images that a run was started with."""
    return bool(run.data["fingerprint"] == dataset.fingerprint)


def has_its_data(run: Run) -> bool:
    """Whether the images that a run was started with are still where it finds them."""
    return any(is_of(run, one) for one in _sets(run.data_folders))


def what_changed(run: Run, dataset: PreparedDataset) -> str:
    """In words, what of a set is not as it was when the run was started; as far as that is known."""
    before = str(run.data["fingerprint"])
    return changed_since(dataset, before) or f"fingerprint {before} then, {dataset.fingerprint} now"


def with_data(run: Run, dataset: PreparedDataset) -> str:
    """The command that goes on with a run on these images."""
    command = f"alexnet resume {quote(typed(run))}"
    if dataset.folder.resolve() in run.data_folders:
        return command
    return f"{command} --data {quote(str(dataset.folder))}"


def _command(run: Run) -> str:
    """How to go on, with the set of the same images if it lies beside where it was."""
    beside = sorted({path for folder in run.data_folders for path in folder.parent.glob("*")})
    same = next((one for one in _sets(beside) if is_of(run, one)), None)
    if same:
        return with_data(run, same)
    return f"alexnet resume {quote(typed(run))} --data NEWPLACE"


def _sets(folders: list[Path]) -> Iterator[PreparedDataset]:
    """Those that are prepared sets which can be read."""
    for folder in folders:
        if (folder / "dataset.json").is_file():
            try:
                yield PreparedDataset.open(folder)
            except AlexNetError:
                if len(folders) == 1:
                    raise
