"""Making cells: each is trained as any run is, evaluated, written, and never made again.

What is stopped or killed, at any moment, goes on where it was: a cell's run lies in
`runs/experiments/ARM-SEED-ID` until the cell is written, and its last checkpoint decides.
"""

from __future__ import annotations

import datetime
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from alexnet import runs
from alexnet.base.files import make_folder
from alexnet.base.locks import Lock
from alexnet.base.provenance import commit, environment, names_hash
from alexnet.evaluation import validation_errors
from alexnet.evaluation.ensemble import average
from alexnet.evaluation.evaluate import predictions_file
from alexnet.evaluation.predictions import Predictions, predict_split
from alexnet.evaluation.scores import score
from alexnet.models import load_model
from alexnet.network.precision import dtype_of
from alexnet.prepared import PreparedDataset
from alexnet.reproduce.arms import Arm, Data
from alexnet.reproduce.cells import (
    FOLDER,
    Address,
    Cell,
    packed,
    stored_array,
    what_of,
)
from alexnet.reproduce.experiments import Study
from alexnet.reproduce.kernels import measures_of
from alexnet.runs import Run
from alexnet.training.placement import Placement
from alexnet.training.plan import Plan
from alexnet.training.session import start

WORK = "experiments"  # the folder of the cells' runs, in `runs/`
VIEWS = (1, 10)
_CURVE = ("epoch", "train_loss", "train_top1_error", "val_loss", "val_top1_error", "rate")
_DIGITS = 6


def numerics(placement: Placement) -> dict[str, Any]:
    """In which arithmetic a cell is made here: with another, its last bits would be others."""
    found = environment(placement.device, placement.precision, placement.layout)
    versions = {name: found["versions"][name] for name in ("torch", "numpy", "numba")}
    device = {"device": placement.device.partition(":")[0], "name": found["device_name"]}
    parts = {name: found[name] for name in ("precision", "layout", "threads", "processes")}
    return {**device, **parts, **versions}


class Sweep:
    """Makes the cells of one study on one device; one process at a time does in a folder.

    Raises EnvironmentProblem at once where another does.
    """

    def __init__(
        self, study: Study, placement: Placement, folder: Path = FOLDER, download: bool = False
    ) -> None:
        """`download` fetches images that are not there from their publisher."""
        self.study, self.placement, self.folder = study, placement, folder
        self._download = download
        self.numerics = numerics(placement)
        self._commit = commit()  # now: a program that is running does not change
        self._datasets: dict[tuple[Data, int], PreparedDataset] = {}
        self._lock = Lock(runs.RUNS / WORK / "sweep.lock", "Experiments are being run here")

    def close(self) -> None:
        """Let others make cells here."""
        self._lock.release()

    def make(self, arm: Arm, seed: int) -> Cell:
        """The cell of an arm and a seed: read if it is there, made otherwise.

        Raises Stopped, after saving, where a signal asks for it.
        """
        if arm.members:
            return self._average(arm, seed)
        parent = self.make(self.study.arms[arm.start], seed) if arm.start else None
        address = self._address(arm, seed, parent.address.id if parent else "")
        path = address.path(self.folder)
        if path.is_file():
            self._tidy(address)
            return Cell.load(path)
        begun, resumed = time.monotonic(), _run_of(address).folder.exists()
        run = self._train(arm, address, parent)
        trained = time.monotonic()
        found = self._predict(arm, address, run)
        seconds = round(time.monotonic() - begun, 2)
        made = {
            **self._made(),
            **_speed(run, trained - begun),
            "seconds": seconds,
            "resumed": resumed,
        }
        measures: dict[str, float] = {}
        arrays: dict[str, Any] = {}
        if arm.keeps_kernels:
            network, _ = load_model(run.model)
            measures, kernels = measures_of(network, run.config)
            arrays = {"conv1": stored_array(kernels)}
        cell = self._write(address, found, made, _curve(run), measures, arrays)
        self._tidy(address)
        return cell

    def dataset(self, arm: Arm) -> PreparedDataset:
        """The prepared images of an arm."""
        key = arm.data, arm.side
        if key not in self._datasets:
            self._datasets[key] = arm.data.open(arm.side, self._download)
        return self._datasets[key]

    def _address(self, arm: Arm, seed: int, start: str = "", of: tuple[str, ...] = ()) -> Address:
        dataset = self.dataset(arm)
        data = {
            "source": arm.data.name,
            "found": dataset.description["source"]["found"],
            "fingerprint": dataset.fingerprint,
            "classes": len(dataset.classes),
            "train": len(dataset.split("train")),
            "test": len(dataset.split(arm.data.split)),
            "split": arm.data.split,
        }
        what = {**what_of(arm), "start": start, "of": list(of)}
        return Address(self.study.scale, arm.name, seed, what, data, self.numerics)

    def _train(self, arm: Arm, address: Address, parent: Cell | None) -> Run:
        """The trained run of a cell, begun or gone on with."""
        begin = ""
        if parent:
            model = _run_of(parent.address).model
            if not (model / "config.json").is_file():
                self._again(parent)
            begin = str(model.resolve())
        plan, run = Plan(arm.config(address.seed, begin), self.dataset(arm)), _run_of(address)
        if not (run.checkpoints.is_dir() or (run.model / "config.json").is_file()):
            shutil.rmtree(run.folder, ignore_errors=True)  # of a cell that was taken away since
        make_folder(runs.RUNS / WORK)
        return start(plan, validation_errors, self.placement, f"{WORK}/{address.name}", go_on=True)

    def _again(self, cell: Cell) -> Run:
        """The run of a finished cell whose model or predictions are gone: trained anew, bit for bit."""
        arm = self.study.arms[cell.arm]
        print(f"{cell.address.name} is trained again: its model is needed", file=sys.stderr)
        shutil.rmtree(_run_of(cell.address).folder, ignore_errors=True)
        parent = self.make(self.study.arms[arm.start], cell.seed) if arm.start else None
        return self._train(arm, cell.address, parent)

    def _predict(self, arm: Arm, address: Address, run: Run) -> dict[int, Predictions]:
        """What the model says of the test images, from one view and from ten; kept for averages."""
        network, card = load_model(run.model)
        network.to(self.placement.device, dtype_of(self.placement.precision))
        found = {}
        for views in VIEWS:
            found[views] = predict_split(network, card, self.dataset(arm), arm.data.split, views)
            if self._is_member(arm):
                found[views].save(predictions_file(run.folder, views))
        return found

    def _average(self, arm: Arm, seed: int) -> Cell:
        """The cell of an average of models: nothing is trained but what is missing of its members."""
        of = self.study.arms[arm.of]
        cells = [self.make(of, arm.members * seed + member) for member in range(arm.members)]
        address = self._address(of, seed, of=tuple(cell.address.id for cell in cells))
        address = replace(address, arm=arm.name)
        path = address.path(self.folder)
        if path.is_file():
            return Cell.load(path)
        begun, found = time.monotonic(), {}
        for cell in cells:
            run = _run_of(cell.address)
            if not predictions_file(run.folder, VIEWS[-1]).is_file():
                self._predict(of, cell.address, self._again(cell))
        for views in VIEWS:
            files = [predictions_file(_run_of(cell.address).folder, views) for cell in cells]
            found[views] = average([Predictions.load(file) for file in files])
        seconds = round(time.monotonic() - begun, 2)
        made = {**self._made(), "images_per_second": 0.0, "seconds": seconds, "resumed": False}
        return self._write(address, found, made, {}, {}, {})

    def _write(
        self,
        address: Address,
        found: Mapping[int, Predictions],
        made: Mapping[str, Any],
        curve: Mapping[str, list[float]],
        measures: Mapping[str, float],
        arrays: Mapping[str, Any],
    ) -> Cell:
        errors = {str(views): _errors(one) for views, one in found.items()}
        right = {
            str(views): packed(one.probs_NK.argmax(axis=1) == one.labels_N)
            for views, one in found.items()
        }
        images = names_hash(found[VIEWS[0]].keys)
        cell = Cell(address, made, errors, right, images, curve, measures, arrays)
        cell.save(self.folder)
        return cell

    def _is_member(self, arm: Arm) -> bool:
        return any(other.of == arm.name for other in self.study.arms.values())

    def _tidy(self, address: Address) -> None:
        """Remove what a finished cell needs no more: checkpoints, and models that no arm starts with."""
        run = _run_of(address)
        is_needed = any(other.start == address.arm for other in self.study.arms.values())
        for folder in (run.checkpoints, run.best, *(() if is_needed else (run.model,))):
            shutil.rmtree(folder, ignore_errors=True)

    def _made(self) -> dict[str, Any]:
        return {
            "commit": self._commit,
            "machine": self.numerics["name"],
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        }


def _run_of(address: Address) -> Run:
    return Run(runs.RUNS / WORK / address.name)


def _errors(found: Predictions) -> dict[str, float]:
    """The errors of predictions as shares, and the loss; of five classes or fewer no top-5 error."""
    own_N = found.probs_NK[np.arange(len(found.labels_N)), found.labels_N].astype(np.float64)
    loss = -np.log(np.maximum(own_N, np.finfo(np.float32).tiny)).mean()
    scores = score(found.probs_NK, found.labels_N)._asdict()
    return {
        name: round(float(value), _DIGITS)
        for name, value in {**scores, "loss": loss}.items()
        if value is not None
    }


def _curve(run: Run) -> dict[str, list[float]]:
    """The rows of a run's epochs, by column."""
    rows = [row for row in run.metrics() if row["kind"] == "epoch"]
    return {name: [float(f"{row[name]:.{_DIGITS}g}") for row in rows] for name in _CURVE}


def _speed(run: Run, seconds: float) -> dict[str, float]:
    """Images per second of training: the median of the run's own records of speed.

    Where it was over before there were any, what it trained in so many `seconds`.
    """
    steps = [row["step"] for row in run.metrics() if row["kind"] == "step"]
    images = len(steps) * run.config.optimizer.batch.count
    rates = [row["images_per_second"] for row in run.timing()]
    rate = float(np.median(rates)) if rates else images / max(seconds, 1e-3)
    return {"images_per_second": round(rate, 2)}
