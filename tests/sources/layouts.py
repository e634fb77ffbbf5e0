"""Random sets of images as people have them, beside a model of what is right for each.

A set is drawn from splits and their spellings, wrappers, forms of Unicode, links, litter, files that are
no images, images that lie in two places, and folders that look like a split and are none. The model never
looks at the files: it notes what each was meant to be when it was made.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pyarrow as pa

SPELLINGS = {
    "train": "train training Train TRAIN trainset train_images TrainSet images-train train2017 01_train",
    "val": "val valid validation Val VALIDATION valset dev devel val_images holdout eval validation_set",
    "test": "test testing Testing test_set TestImages test1 tst",
}
PAIRS = (
    ("seg_train", "seg_test"),
    ("petsTrain", "petsVal"),
    ("ILSVRC_img_train", "ILSVRC_img_val"),
)
CLASSES = (
    *("cat", "dog", "café", "thé vert", "bullet_train", "test tube", "n01440764", "Straße", "日本"),
    *("a", "2", "images of birds"),
)
LITTER = (
    *(
        ".DS_Store",
        "Thumbs.db",
        "desktop.ini",
        "._1.jpg",
        "@eaDir/1.jpg/THUMB.jpg",
        "#recycle/x.jpg",
    ),
    *("__MACOSX/cat/._1.jpg", ".AppleDouble/1.jpg", ".ipynb_checkpoints/1.jpg", "lost+found/1.jpg"),
)
NO_IMAGES = ("notes.txt", "clip.MOV", "labels.csv", "meta.json", "README", "README.md", "v.mp4")
PACKINGS = ("tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst")
BROKEN = b"<html>not found</html>"


@dataclass
class Meant:
    """What is right: of each split the classes and contents of its images, and of all else how many.

    `refused` is the folder that ends it where nobody asked to leave it out, with so many images.
    """

    classes: set[str] = field(default_factory=set)
    images: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)  # links to nothing, by split
    hidden: int = 0
    no_images: int = 0
    outside: int = 0
    refused: tuple[str, int] | None = None
    has_splits: bool = True


class Maker:
    """Makes the set of a seed below a folder."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = Random(seed)
        self.root = folder / "set"
        self.store = folder / "store"  # what links lead to
        self.meant = Meant()
        self.made = 0

    def make(self) -> tuple[Path, Meant]:
        """The set, a folder or a tar file, and what is right for it."""
        pick = self.random
        base = self.root
        for _ in range(pick.choice((0, 0, 0, 1, 2, 3))):
            base = base / pick.choice(("pets", "data v2", "images", "archive", "datasets"))
        base.mkdir(parents=True)
        self.in_tar = pick.random() < 0.4
        names = pick.sample(CLASSES, pick.randint(2, 4))
        self.meant.classes = set(names)
        places = self._splits(base)
        for split, place in places.items():
            for name in names:
                self._class(split, place / self._form(name), name)
        self._trap(base, places, names)
        for folder in {self.root, base, *places.values()}:
            self._litter(folder)
        if not self.in_tar:
            return self.root, self.meant
        return self._packed(), self.meant

    def _form(self, name: str) -> str:
        return unicodedata.normalize(self.random.choice(("NFC", "NFD")), name)

    def _splits(self, base: Path) -> dict[str, Path]:
        """Where the class folders of each split go; "" where there are no splits."""
        pick = self.random
        kind = pick.choice(("none", "only train", "two", "two", "three", "pair", "held out"))
        if kind == "none":
            self.meant.has_splits = False
            return {"": base}
        if kind == "pair":
            train, other = pick.choice(PAIRS)
            places = {"train": base / train, "val": base / other}
            if pick.random() < 0.5:
                places = {split: place / place.name for split, place in places.items()}
            return places
        chosen = {
            "only train": ("train",),
            "two": ("train", pick.choice(("val", "test"))),
            "three": ("train", "val", "test"),
            "held out": (pick.choice(("val", "test")),),
        }[kind]
        places = {}
        for split in chosen:
            called = pick.choice(SPELLINGS[split].split())
            # A split "test" without "val" is what is held out.
            is_val = split == "test" and kind == "two"
            places["val" if is_val else split] = base / called
        if pick.random() < 0.2:
            inner = pick.choice(("images", "imgs", ""))
            places = {split: place / (inner or place.name) for split, place in places.items()}
        if kind == "only train":
            self.meant.has_splits = False
            return {"": places["train"]}
        return places

    def _class(self, split: str, place: Path, name: str) -> None:
        pick = self.random
        if pick.random() < 0.15:
            self.made += 1
            elsewhere = (self.root if self.in_tar else self.store) / f".kept-{self.made}"
            elsewhere.mkdir(parents=True)
            self.meant.hidden += self.in_tar
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(os.path.relpath(elsewhere, place.parent.resolve()))
        place.mkdir(parents=True, exist_ok=True)
        for n in range(pick.randint(1, 5)):
            self._image(
                split, place, name, f"{n}.{pick.choice(('jpg', 'PNG', 'JPEG', 'webp', ''))}"
            )
        if pick.random() < 0.2:
            self._image(split, place / "session 1" / "b", name, "0.jpg")
        if pick.random() < 0.2:
            self._litter(place)
        if not self.in_tar and pick.random() < 0.1:
            (place / "loop").symlink_to(self.root)
            self.meant.hidden += 1  # counted apart: it is a link to where it lies

    def _image(self, split: str, place: Path, name: str, file: str) -> None:
        pick = self.random
        file = file.rstrip(".")
        place.mkdir(parents=True, exist_ok=True)
        path, way = place / file, pick.random()
        if way < 0.05:
            path.symlink_to("nothing.jpg") if "." in file else path.write_bytes(BROKEN)
            if "." in file:
                self.meant.lost[split] += 1
                return
        earlier = [one for of in self.meant.images.values() for one in of]
        data = b"IMG%06d" % self.made
        self.made += 1
        if way < 0.05:
            data = BROKEN
        elif way < 0.1:
            path.write_bytes(data := BROKEN)
        elif (
            way < 0.2 and earlier
        ):  # the bytes of another: in its class, another one, another split
            _, data = pick.choice(earlier)
            path.write_bytes(data)
        elif way < 0.3:
            self._linked(path, data)
        else:
            path.write_bytes(data)
        self.meant.images.setdefault(split, []).append((name, data))

    def _linked(self, path: Path, data: bytes) -> None:
        """An image that is a link: to a file elsewhere, or, in a tar file, to litter, which is in it."""
        if self.in_tar:
            target = path.parent.resolve() / f".kept-{self.made}"
            self.meant.hidden += 1
        else:
            self.store.mkdir(exist_ok=True)
            target = self.store / f"file-{self.made}"
        target.write_bytes(data)
        if self.random.random() < 0.5:
            os.link(target, path)
        else:
            path.symlink_to(os.path.relpath(target, path.parent.resolve()))

    def _litter(self, folder: Path) -> None:
        pick = self.random
        for name in pick.sample(LITTER, pick.choice((0, 0, 1, 2))):
            path = folder / name
            if not (folder / name.split("/")[0]).exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"litter")
                self.meant.hidden += 1
        for name in pick.sample(NO_IMAGES, pick.choice((0, 0, 1, 2))):
            if not (folder / name).exists():
                (folder / name).write_bytes(b"no image")
                self.meant.no_images += 1

    def _trap(self, base: Path, places: dict[str, Path], names: list[str]) -> None:
        """Beside a training split what nobody can read as one: it has to be named, with its images."""
        pick = self.random
        if ("train" not in places and self.meant.has_splits) or places.get("") == base:
            return
        if pick.random() > 0.25:
            if pick.random() < 0.2:
                (base / "stray.jpg").write_bytes(b"IMGstray")
                self.meant.outside += 1
            return
        there = {path.name.casefold() for path in base.iterdir()}
        flat = pick.random() < 0.5
        called = (
            "more" if not flat or {"val", "test"} & set(places) else pick.choice(("val", "test"))
        )
        if called in there or (flat and {"val", "test"} & set(places)):
            return
        count = 0
        for name in names if not flat else [""]:
            (base / called / name).mkdir(parents=True, exist_ok=True)
            for n in range(2):
                (base / called / name / f"{n}.jpg").write_bytes(b"IMGtrap%d" % n)
                count += 1
        self.meant.refused = called, count
        self.meant.outside += count

    def _packed(self) -> Path:
        packing = self.random.choice(PACKINGS)
        path = self.root.with_name(f"set.{packing}")
        is_joined = self.random.random() < 0.4
        plain = [path.with_name(f"part{n}") for n in range(2 if is_joined else 1)]
        tops = sorted(self.root.iterdir())
        parts = [tops[n :: len(plain)] for n in range(len(plain))]
        prefix = self.random.choice(("", "./", "set/"))
        for file, members in zip(plain, parts, strict=True):
            with tarfile.open(file, "w", format=self.random.choice((0, 1, 2))) as archive:
                for top in members:
                    archive.add(top, f"{prefix}{top.name}")
        path.write_bytes(b"".join(_compressed(file.read_bytes(), packing) for file in plain))
        return path


def _compressed(data: bytes, packing: str) -> bytes:
    if packing == "tar.zst":
        return bytes(pa.Codec("zstd").compress(data, asbytes=True))
    pack: dict[str, Callable[[bytes], bytes]] = {
        "tar.gz": gzip.compress,
        "tar.bz2": bz2.compress,
        "tar.xz": lzma.compress,
    }
    return pack.get(packing, bytes)(data)
