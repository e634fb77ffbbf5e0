"""Arms: what is trained, on which images; and the networks and images that they vary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from alexnet.config import RunConfig
from alexnet.conventions import CONVENTIONS
from alexnet.prepared import PreparedDataset, prepare
from alexnet.prepared.preparation import default_folder
from alexnet.recipes import recipe
from alexnet.settings import with_settings
from alexnet.sources import open_source
from alexnet.sources.subset import subset


@dataclass(frozen=True)
class Data:
    """Labelled images: a source, or some of its classes and of each class some images.

    `train` and `held_out` are numbers of images of each class (`alexnet.sources.subset`). `images` are
    trained on, `tested` are for testing, of so many `kinds`: for plans made before anything is prepared.
    """

    source: str
    images: int
    tested: int
    kinds: int = 10
    classes: tuple[str, ...] = ()
    train: int = 0
    held_out: int = 0

    @property
    def name(self) -> str:
        """What it is called, and its prepared folder: "cifar10-1000-each"."""
        parts = [self.source.replace(":", "-")]
        parts += [f"{len(self.classes)}-classes"] if self.classes else []
        parts += [f"{self.train}-each"] if self.train else []
        parts += [f"{self.held_out}-held-out"] if self.held_out else []
        return "-".join(parts)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its source."""
        return not (self.classes or self.train or self.held_out)

    def folder(self, side: int) -> Path:
        """Where it is prepared."""
        return default_folder(self.source if self.is_whole else self.name, side)

    def open(self, side: int, download: bool = False) -> PreparedDataset:
        """The prepared images of a side, prepared now if need be; raises what `prepare` does."""
        source = open_source(self.source, download=download)
        if not self.is_whole:
            source = subset(source, self.name, self.classes, self.train, self.held_out)
        return prepare(source, self.folder(side), side=side)

    @property
    def split(self) -> str:
        """The split that errors are of: images that neither training nor its curve has seen."""
        return "test" if self.held_out else "val"


@dataclass(frozen=True)
class Arm:
    """One way to train. `version` goes up when its numbers change for another reason than its settings.

    `start` is the arm whose model, of the same seed, it begins with. An arm with `members` trains
    nothing: it averages so many models of the arm `of`, of the seeds members * seed and following.
    """

    name: str
    recipe: str
    data: Data
    settings: tuple[str, ...] = ()
    variant: str = ""
    start: str = ""
    of: str = ""
    members: int = 0
    keeps_kernels: bool = False  # the first layer's, for figure 3
    error: float = 0.3  # about what its top-1 error will be, for plans made before it is measured
    version: int = 1

    def config(self, seed: int, start: str = "") -> RunConfig:
        """The run of one seed; `start` is the folder of the model that it begins with."""
        asked = [*self.settings, f"seed={seed}", "checkpoint.keep=2"]
        asked += [f"network.variant={self.variant}"] if self.variant else []
        asked += [f"network.start.model={start}"] if start else []
        return with_settings(recipe(self.recipe).config, asked)

    @property
    def side(self) -> int:
        """Pixels of the images that its network reads."""
        return CONVENTIONS[self.config(0).network.convention].side

    def varied(
        self, name: str, variant: str = "", settings: tuple[str, ...] = (), **changes: object
    ) -> Arm:
        """This arm with a change: "cifar" and "no-norm" make "cifar-no-norm"."""
        variants = [one for one in (self.variant, variant) if one]
        return replace(
            self,
            name=f"{self.name}-{name}",
            variant=", ".join(variants),
            settings=(*self.settings, *settings),
            **changes,  # type: ignore[arg-type]
        )


def by_name(arms: list[Arm]) -> Mapping[str, Arm]:
    """Arms by their names, which no two share."""
    found = {arm.name: arm for arm in arms}
    assert len(found) == len(arms), "two arms have one name"
    return found
