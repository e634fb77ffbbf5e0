"""Tar files: the images of their folder, nothing extracted, used up to where they break off."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from alexnet.base.errors import DataError
from alexnet.sources import open_source

Tree = Callable[..., Path]


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("root", [".", "set", "./set"])
def test_an_archive_gives_what_its_folder_gives(
    tree: Tree, tmp_path: Path, mode: str, root: str
) -> None:
    folder = tree("train/a/1.jpg train/b/2.jpg val/a/3.jpg val/b/.hidden readme.txt")
    path = tmp_path / f"set.tar{mode[1:].replace(':', '.')}"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.add(folder, root)
    packed, unpacked = open_source(str(path)), open_source(str(folder))
    key = lambda image: (image.split, image.key)  # noqa: E731
    assert sorted(packed.images(), key=key) == sorted(unpacked.images(), key=key)
    assert packed.classes == unpacked.classes == ("a", "b")
    assert packed.count == unpacked.count == 3
    assert packed.ignored == unpacked.ignored == {"hidden": 1, ".txt": 1}
    assert list(packed.images()) == list(packed.images())


def test_hostile_members_write_nothing_and_are_counted(
    tmp_path: Path, jpeg: Callable[[int], bytes]
) -> None:
    path, canary = tmp_path / "in" / "hostile.tar", tmp_path / "canary.jpg"
    path.parent.mkdir()
    with tarfile.open(path, "w") as archive:
        add(archive, "cat/good.jpg", jpeg(0))
        add(archive, "../canary.jpg", jpeg(1))
        add(archive, str(canary), jpeg(2))
        for kind, name in ((tarfile.SYMTYPE, "soft"), (tarfile.LNKTYPE, "hard")):
            info = tarfile.TarInfo(f"cat/{name}.jpg")
            info.type, info.linkname = kind, "../../canary.jpg"
            archive.addfile(info)
        for kind, name in ((tarfile.FIFOTYPE, "pipe"), (tarfile.CHRTYPE, "device")):
            info = tarfile.TarInfo(f"cat/{name}.jpg")
            info.type = kind
            archive.addfile(info)
    source = open_source(str(path), validation_share=0)
    given = {image.key: image for image in source.images()}
    assert given["cat/good.jpg"].data == jpeg(0)
    for name in ("cat/soft.jpg", "cat/hard.jpg"):  # rejected, as links to nothing in a folder are
        assert given[name].data == b""
        assert given[name].fault == ("unreadable", "a link to nothing in the archive")
    assert not any("pipe" in key or "device" in key for key in given)
    assert source.ignored["not regular files"] == 2
    assert not canary.exists()
    assert list(tmp_path.iterdir()) == [path.parent]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_broken_off_archive_is_used_up_to_the_break(
    tmp_path: Path, jpeg: Callable[[int], bytes], compressed: bool
) -> None:
    whole = tmp_path / f"whole.{'tgz' if compressed else 'tar'}"
    with tarfile.open(whole, "w:gz" if compressed else "w") as archive:
        for number in range(8):
            add(archive, f"c{number % 2}/{number}.jpg", jpeg(number))
    data = whole.read_bytes()
    assert open_source(str(whole)).truncated == ""
    cut = tmp_path / f"cut{whole.suffix}"
    size = len(data) if compressed else len(data.rstrip(b"\0")) + 512
    for length in range(size * 3 // 8, size - 600, size // 11 + 13):
        cut.write_bytes(data[:length])
        source = open_source(str(cut), validation_share=0)
        images = list(source.images())
        assert 1 <= len(images) < 8
        assert [p.data for p in images] == [jpeg(n) for n in range(len(images))]
        where, _, member = source.truncated.partition(" ")
        number = int(Path(member).stem)
        assert number == len(images) - (1 if where == "after" else 0)


def test_a_damaged_header_in_the_middle_does_not_pass_for_the_end(
    tmp_path: Path, jpeg: Callable[[int], bytes]
) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(3):
            add(archive, f"c/{number}.jpg", jpeg(number))
    with tarfile.open(path) as archive:
        offset = archive.getmembers()[1].offset
    data = bytearray(path.read_bytes())
    data[offset + 150] ^= 1  # in the checksum of the second header
    path.write_bytes(data)
    source = open_source(str(path))
    assert source.truncated == "after c/0.jpg"
    assert source.count == 1


def test_what_is_no_archive_says_so(tmp_path: Path) -> None:
    path = tmp_path / "page.tar"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="Not a readable tar file"):
        open_source(str(path))


def test_imagenette_is_found_and_has_human_names(shared_data: Path) -> None:
    source = open_source("imagenette", data_folder=shared_data)
    assert source.classes[0] == "n01440764" and source.titles[0] == "tench"
    assert source.titles[-1] == "parachute"
    assert source.count == 9469 + 3925
    first = next(source.images())
    assert (first.split, first.label) == ("train", 0)
    assert first.data.startswith(b"\xff\xd8")


@pytest.mark.parametrize("shape", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_of_every_kind_of_tar(
    tmp_path: Path, jpeg: Callable[[int], bytes], shape: int
) -> None:
    path = tmp_path / "set.tar"
    names = [f"{c}/{'n' * 90}/{'é' * 20}.jpg" for c in ("ant", "bee", "cat")]
    with tarfile.open(path, "w", format=shape) as archive:
        for number, name in enumerate(names):
            add(archive, name, jpeg(number))
    source = open_source(str(path), validation_share=0)
    assert [image.key for image in source.images()] == names
    assert [image.data for image in source.images()] == [jpeg(n) for n in range(3)]


def test_members_without_a_name_are_ignored(tmp_path: Path, jpeg: Callable[[int], bytes]) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        for number, name in enumerate(("cat/0.jpg", "dog/1.jpg", "/", "./.")):
            add(archive, name, jpeg(number))
    source = open_source(str(path))
    assert source.count == 2 and source.ignored == {"without a name": 2}


def test_headers_without_bounds_end_the_archive_there(
    tmp_path: Path, jpeg: Callable[[int], bytes]
) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        add(archive, "cat/0.jpg", jpeg(0))
        info = tarfile.TarInfo("cat/1.jpg")
        info.pax_headers = {"comment": "x" * 2**21}
        archive.addfile(info)
    source = open_source(str(path))
    assert source.truncated == "after cat/0.jpg" and source.count == 1


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_an_archive_that_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("alexnet.formats.tar.MAX_SMALL", 2**20)
    path = tmp_path / f"set.tar.{kind}"
    with tarfile.open(path, f"w:{kind}") as archive:  # type: ignore[call-overload]
        add(archive, "cat/0.bmp", bytes(2**23))
    with pytest.raises(DataError, match="over 100 times its size") as error:
        open_source(str(path))
    assert str(path) in error.value.where


def test_two_xz_files_one_after_the_other_are_one(
    tmp_path: Path, jpeg: Callable[[int], bytes]
) -> None:
    plain, path = io.BytesIO(), tmp_path / "set.tar.xz"
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for number in range(4):
            add(archive, f"cat/{number}.jpg", jpeg(number))
    data = plain.getvalue()
    path.write_bytes(lzma.compress(data[:3000]) + bytes(8) + lzma.compress(data[3000:]))
    source = open_source(str(path), validation_share=0)
    assert source.truncated == ""
    assert [image.data for image in source.images()] == [jpeg(n) for n in range(4)]


def link(archive: tarfile.TarFile, name: str, target: str, kind: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    archive.addfile(info)


@pytest.mark.parametrize("shape", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_links_are_the_files_that_they_name(
    tmp_path: Path, jpeg: Callable[[int], bytes], mode: str, shape: int
) -> None:
    path = tmp_path / "set.tar"
    long = "n" * (80 if shape == tarfile.USTAR_FORMAT else 120)
    with tarfile.open(path, mode, format=shape) as archive:  # type: ignore[call-overload]
        link(archive, f"val/{long}/early.jpg", f"../../train/{long}/2.jpg", tarfile.SYMTYPE)
        add(archive, "./train/a/1.jpg", jpeg(1))
        add(archive, f"./train/{long}/2.jpg", jpeg(2))
        link(archive, "val/a/hard.jpg", "./train/a/1.jpg", tarfile.LNKTYPE)
        link(archive, "val/a/again.jpg", "val/a/hard.jpg", tarfile.LNKTYPE)
        link(archive, "train/a/soft.jpg", "./1.jpg", tarfile.SYMTYPE)
        link(archive, "train/a/over.jpg", "soft.jpg", tarfile.SYMTYPE)
        link(archive, f"train/{long}/long.jpg", f"../{long}/2.jpg", tarfile.SYMTYPE)
        link(archive, "train/a/round.jpg", "round.jpg", tarfile.SYMTYPE)
        link(archive, "train/a/absolute.jpg", "/train/a/1.jpg", tarfile.SYMTYPE)
        link(archive, "train/a/later.jpg", "train/a/9.jpg", tarfile.LNKTYPE)
        add(archive, "train/a/9.jpg", jpeg(9))
    given = {(image.split, image.key): image for image in open_source(str(path)).images()}
    faults = {key for (_, key), image in given.items() if image.fault}
    assert faults == {"a/round.jpg", "a/absolute.jpg", "a/later.jpg"}
    numbers = {1: "a/1.jpg a/hard.jpg a/again.jpg a/soft.jpg a/over.jpg", 9: "a/9.jpg"}
    numbers[2] = f"{long}/2.jpg {long}/long.jpg {long}/early.jpg"
    assert {key: image.data for (_, key), image in given.items() if not image.fault} == {
        key: jpeg(number) for number, keys in numbers.items() for key in keys.split()
    }


def test_links_to_folders_in_the_archive_are_read_as_in_a_folder(
    tree: Tree, tmp_path: Path
) -> None:
    root = tree("store/cat/1.jpg store/cat/deep/2.jpg store/dog/3.jpg store/val/cat/4.jpg")
    for split, names in (("train", ("cat", "dog")), ("val", ("cat",))):
        (root / split).mkdir()
        for name in names:
            inside = f"../.store/{'val/' * (split == 'val')}{name}"
            (root / split / name).symlink_to(inside)
    (root / "store").rename(root / ".store")
    (root / ".store" / "dog" / "more").symlink_to("../cat")  # over which cats are dogs too
    (root / ".store" / "cat" / "round").symlink_to("../dog")
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(root, ".")
    packed, unpacked = open_source(str(path)), open_source(str(root))
    key = lambda image: (image.split, image.key)  # noqa: E731
    assert sorted(packed.images(), key=key) == sorted(unpacked.images(), key=key)
    assert {image.key for image in packed.images() if image.split == "train"} == {
        *("cat/1.jpg", "cat/deep/2.jpg", "cat/round/3.jpg", "dog/3.jpg"),
        *("dog/more/1.jpg", "dog/more/deep/2.jpg"),
    }


def test_links_that_multiply_end_the_archive(tmp_path: Path, jpeg: Callable[[int], bytes]) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "cat/0/1.jpg", jpeg(1))
        for depth in range(1, 8):
            for n in range(9):
                link(archive, f"cat/{depth}/{n}", f"../{depth - 1}", tarfile.SYMTYPE)
    with pytest.raises(DataError, match="far more files"):
        open_source(str(path))


def test_links_that_may_stand_for_folders_are_named(
    tmp_path: Path, jpeg: Callable[[int], bytes]
) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "cat/1.jpg", jpeg(1))
        add(archive, "dog/2.jpg", jpeg(2))
        link(archive, "horse", "../elsewhere/horse", tarfile.SYMTYPE)
    source = open_source(str(path))
    assert source.ignored == {"links": 1}
    (warning,) = source.warnings
    assert "horse" in warning and "tar --dereference" in warning


@pytest.mark.parametrize("packing", ["tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"])
@pytest.mark.parametrize("padding", [0, 512 * 40])
def test_archives_one_after_another_are_one(
    tmp_path: Path, jpeg: Callable[[int], bytes], packing: str, padding: int
) -> None:
    packed = b""
    for number, name in enumerate(("cat", "dog", "eel")):
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as archive:
            add(archive, f"{name}/{number}.jpg", jpeg(number))
        packed += compressed(plain.getvalue() + bytes(padding), packing)
    path = tmp_path / f"set.{packing}"
    path.write_bytes(packed)
    source = open_source(str(path), validation_share=0)
    assert source.classes == ("cat", "dog", "eel") and source.truncated == ""
    assert [image.data for image in source.images()] == [jpeg(n) for n in range(3)]


def compressed(data: bytes, packing: str) -> bytes:
    pack: dict[str, Callable[[bytes], bytes]] = {
        "tar.gz": gzip.compress,
        "tar.bz2": bz2.compress,
        "tar.xz": lzma.compress,
        "tar.zst": lambda data: bytes(pa.Codec("zstd").compress(data, asbytes=True)),
    }
    return pack.get(packing, bytes)(data)


@pytest.mark.parametrize("rest", [b"<html>", b"x" * 512, b"x" * 5000])
def test_what_follows_the_end_and_is_no_archive_is_told(
    tmp_path: Path, jpeg: Callable[[int], bytes], rest: bytes
) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "cat/0.jpg", jpeg(0))
        add(archive, "dog/1.jpg", jpeg(1))
    path.write_bytes(path.read_bytes() + rest)
    source = open_source(str(path))
    assert source.truncated == "after dog/1.jpg" and source.count == 2
