"""Pickles made to do harm do nothing: nothing is imported, called or made room for."""

from __future__ import annotations

import pickle
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exchange.checkpoints import checkpoint
from torture.hostile import Runs, operations

from alexnet.base.errors import AlexNetError, DataError
from alexnet.exchange import read_foreign
from alexnet.formats import pickle_machine, pickle_operations, pickles


def read(tmp_path: Path, data: bytes) -> Any:
    (tmp_path / "p").write_bytes(data)
    return pickles.read_pickle(tmp_path / "p")


def test_plain_values_come_back(tmp_path: Path) -> None:
    value = {
        "n": [0, 1, -1, 255, 65536, 2**31, -(2**70), 1.5, True, False, None],
        "text": ["", "größe", "x" * 300],
        "array": np.arange(12, dtype=">i4").reshape(3, 4),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "scalar": np.float64(2.5),
        "empty": np.empty((0, 3), np.float32),
        "inner": {"a": {"b": {1: 2}}},
    }
    for protocol in range(6):
        found = read(tmp_path, pickle.dumps(value, protocol))
        for key in ("array", "columns", "empty"):
            np.testing.assert_array_equal(found[key], value[key])
        assert found["columns"].dtype == np.float64 and found["scalar"] == 2.5
        for key in ("n", "text", "inner"):
            assert found[key] == value[key]


def test_what_is_in_two_places_is_one_thing(tmp_path: Path) -> None:
    shared: list[Any] = [1, (2, 3)]
    shared.append(shared)
    found = read(tmp_path, pickle.dumps({"a": shared, "b": (shared,)}, 2))
    assert found["a"] is found["b"][0] is found["a"][2] and found["a"][1] == [2, 3]


def test_objects_of_unknown_classes_are_names_and_nothing_else(tmp_path: Path) -> None:
    found = read(tmp_path, checkpoint([1]))
    assert isinstance(found["op"], pickle_machine.Unknown)
    assert found["model_state"]["epoch"] == 93 and found["model_state"]["layers"] == [1]


def _harmful(canary: Path) -> dict[str, bytes]:
    """Pickles that would make the file, or take memory, if anything in them were carried out."""
    import builtins
    import os
    import subprocess

    line = f"open({str(canary)!r}, 'w')"
    calls = {
        "os.system": Runs(os.system, f"touch {canary}"),
        "builtins.eval": Runs(builtins.eval, line),
        "builtins.exec": Runs(builtins.exec, line),
        "builtins.open": Runs(builtins.open, str(canary), "w"),
        "subprocess.Popen": Runs(subprocess.Popen, ("touch", str(canary))),
        "Path.touch": Runs(Path.touch, canary),
        "numpy.zeros of 10^12": Runs(np.zeros, 10**12),
        "ndarray of 10^12": Runs(np.ndarray, (10**12,)),
        "bytes of 10^12": Runs(bytes, 10**12),
    }
    found = {f"call of {name}": pickle.dumps({"a": call}, 2) for name, call in calls.items()}
    found |= {f"{name}, protocol 0": pickle.dumps(call, 0) for name, call in calls.items()}
    raw = {n: b"\x80\x04" + data + b"." for n, data in operations().items() if len(data) < 10**5}
    return found | raw


def test_harmful_pickles_do_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = tmp_path / "canary"
    monkeypatch.chdir(tmp_path)  # where those of the torture tests would touch it
    harmful = _harmful(canary)
    assert len(harmful) > 60
    for name, data in harmful.items():
        (tmp_path / "p").write_bytes(data)
        with pytest.raises(AlexNetError):
            read_foreign(tmp_path / "p")
        assert not canary.exists(), name


@pytest.mark.parametrize("name", ["call of os.system", "builtins.eval, protocol 0"])
def test_the_same_pickles_are_harmful_to_pythons_unpickler(name: str, tmp_path: Path) -> None:
    pickle.loads(_harmful(tmp_path / "canary")[name])
    assert (tmp_path / "canary").exists()


def _array(shape: bytes, content: bytes, kind: bytes = b"f4") -> bytes:
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tC\1btR"
    dtype = b"cnumpy\ndtype\n(X" + struct.pack("<I", len(kind)) + kind + b"K\0K\1tR"
    return b"\x80\4}X\1\0\0\0a" + made + b"(K\1" + shape + dtype + b"\x89" + content + b"tbs."


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        (b"(\x8a\x06\0\0\0\0\0\1t", "1099511627776 float32 with 4 bytes"),
        (b"(J\xff\xff\xff\xfft", "without a shape"),
        (b"(K\2t", "array of 2 float32 with 4 bytes"),
        (b"(" + b"K\1" * 9 + b"t", "9 dimensions"),
        (b"(K\0\x8a\x09" + b"\xff" * 8 + b"\x7ft", "array of 0 x"),
        (b"K\1", "without a shape"),
    ],
)
def test_arrays_that_lie_about_their_size_are_refused(
    shape: bytes, what: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=what):
        read(tmp_path, _array(shape, b"C\4abcd"))
    assert read(tmp_path, _array(b"(K\1t", b"C\4abcd"))["a"].shape == (1,)


def test_arrays_of_objects_are_names(tmp_path: Path) -> None:
    found = read(tmp_path, _array(b"(K\1t", b"]", b"O8"))
    assert isinstance(found["a"], pickle_machine.Unknown)


def _again(what: bytes, times: int, call: bytes = b"") -> bytes:
    """One long value, named again and again."""
    return b"\x80\2](" + what + b"q\0" + (b"h\0" + call) * times + b"e."


def test_copies_of_one_thing_are_counted(tmp_path: Path) -> None:
    text = b"X" + struct.pack("<I", 10**6) + b"x" * 10**6
    encode = b"0c_codecs\nencode\nh\0X\6\0\0\0latin1\x86R"
    with pytest.raises(DataError, match="again and again"):
        read(tmp_path, _again(text, 100, encode))
    pairs = b"](" + b"K\1K\2\x86" * 1000 + b"e"
    ordered = b"0ccollections\nOrderedDict\nh\0\x85R"
    with pytest.raises(DataError, match="again and again"):
        read(tmp_path, _again(pairs, 1000, ordered))
    short = b"U\xff" + b"x" * 255
    found = read(tmp_path, _again(short, 10**5))
    assert len({id(one) for one in found}) == 1


def test_operations_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_operations, "_MAX_STEPS", 1000)
    with pytest.raises(DataError, match="more than 1,000 operations"):
        read(tmp_path, b"\x80\2" + b"N" * 2000 + b".")


def test_keys_are_texts_and_small_whole_numbers(tmp_path: Path) -> None:
    value = {1: "a", -5: "b", "x": "d", 2.0**70: "e", None: "f", (1, 2): "g", 2**31: "h"}
    found = read(tmp_path, pickle.dumps(value, 2))
    assert found == {1: "a", -5: "b", "x": "d"}


def test_keys_that_all_have_one_hash_take_no_time(tmp_path: Path) -> None:
    value = {n * (2**61 - 1): None for n in range(1, 3)}
    assert len({hash(key) for key in value}) == 1
    keys = b"".join(
        b"\x8a\x0a" + (n * (2**61 - 1)).to_bytes(10, "little", signed=True) + b"N"
        for n in range(1, 30_000)
    )
    start = time.process_time()
    assert read(tmp_path, b"\x80\2}(" + keys + b"u.") == {}
    assert time.process_time() - start < 2


def test_dictionaries_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_machine, "_MOST_KEYS", 100)
    assert len(read(tmp_path, pickle.dumps({n: n for n in range(100)}, 2))) == 100
    with pytest.raises(DataError, match="a dictionary of more than 100 keys"):
        read(tmp_path, pickle.dumps({n: n for n in range(101)}, 2))


def test_protocols_that_are_not_known_are_refused(tmp_path: Path) -> None:
    assert read(tmp_path, b"\x80\5N.") is None
    with pytest.raises(DataError, match="of protocol 6, at byte 2"):
        read(tmp_path, b"\x80\6N.")


@pytest.mark.parametrize("data", [b"\x80", b"", b"\x80\2", b"\x80\6", b"\x1f"])
def test_the_shortest_files_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(data)
    with pytest.raises(DataError) as refused:
        read_foreign(tmp_path / "p")
    assert str(tmp_path / "p") in refused.value.where


def test_files_that_unpack_to_too_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gzip

    monkeypatch.setattr(pickles, "_MAX_UNPACKED", 10**7)
    with pytest.raises(DataError, match="more than 10,000,000 bytes"):
        read(tmp_path, gzip.compress(bytes(2 * 10**7)))
    with pytest.raises(DataError, match="unpack"):
        read(tmp_path, gzip.compress(b"\x80\2N.")[:-6])
    with pytest.raises(DataError, match="unpack"):
        read(tmp_path, b"PK\3\4" + bytes(100))
