"""An index with codes: what it holds, what is found by them, what becomes of them when it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from folders import contents
from retrieval.made import PART_ROWS, about, keys_of, make_index, nearest, vectors

from alexnet.base.errors import DataError, UsageError
from alexnet.retrieval import autoencoder, building
from alexnet.retrieval import index as index_module
from alexnet.retrieval.building import changing
from alexnet.retrieval.codes import unpacked
from alexnet.retrieval.coding import add_codes
from alexnet.retrieval.comparison import compare_codes
from alexnet.retrieval.description import SourceOf
from alexnet.retrieval.files import Place
from alexnet.retrieval.index import Index
from alexnet.training.optimizer import PaperSGD


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts, and a small network that is trained for a moment."""
    monkeypatch.setattr(building, "PART_BYTES", 4 * 40 * PART_ROWS)
    monkeypatch.setattr(autoencoder, "HIDDEN", (24, 16))
    monkeypatch.setattr(autoencoder, "EPOCHS", 3)


@pytest.mark.parametrize("method", ["autoencoder", "itq"])
def test_by_codes_the_best_of_the_nearest_codes_are_found(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_NU, keys = vectors(200), keys_of(200)
    made = make_index(tmp_path, rows_NU)
    assert made.bits == 0
    with pytest.raises(UsageError, match=r"no codes\.[^$]*--codes 64"):
        made.nearest(rows_NU[:1], codes=True)
    codes_of = add_codes(tmp_path, 24, method=method)
    assert (codes_of.method, codes_of.bits, codes_of.rows) == (method, 24, 200)
    index = Index.open(tmp_path)
    assert index.coder is not None and index.bits == 24
    assert np.array_equal(index.codes, index.coder.encode(rows_NU))
    monkeypatch.setattr(index_module, "AMONG", 40)
    queries_QU = vectors(230)[190:] * np.float32(1.05)
    bits_N24, bits_Q24 = (unpacked(index.coder.encode(x), 24) for x in (rows_NU, queries_QU))
    for query_U, bits_24, answer in zip(
        queries_QU, bits_Q24, index.nearest(queries_QU, 4, codes=True), strict=True
    ):
        apart_N = (bits_N24 != bits_24).sum(axis=1)
        among = sorted(range(200), key=lambda n: (apart_N[n], keys[n]))[:40]
        best = nearest(rows_NU[among], [keys[n] for n in among], query_U, 4)
        assert [one.row for one in answer] == [among[n] for n in best]
        assert (answer.rows_read, answer.rows) == (40, 200)
    everywhere = index.nearest(queries_QU, 200, codes=True)  # among all: then it is exact
    assert [one.neighbours for one in everywhere] == [
        one.neighbours for one in index.nearest(queries_QU, 200)
    ]
    kept = [
        safetensors.numpy.load_file(tmp_path / part.codes.file)["codes"]
        for part in index.description.parts
        if part.codes
    ]
    assert np.array_equal(np.concatenate(kept), index.codes)


def test_new_vectors_get_codes_of_the_coder_that_is_there(tmp_path: Path) -> None:
    rows_NU = vectors(200)
    make_index(tmp_path, rows_NU[:80])
    first = add_codes(tmp_path, 24)
    coder = Index.open(tmp_path).coder
    assert coder is not None
    grown = make_index(tmp_path, rows_NU[:150], add=True)
    assert grown.description.codes == first
    assert np.array_equal(grown.codes, coder.encode(rows_NU[:150]))
    assert add_codes(tmp_path, 24) == first  # it has them
    make_index(tmp_path, rows_NU, add=True)
    anew = add_codes(tmp_path, 24)
    assert anew != first and anew.rows == 200  # twice as many as it was found from
    assert add_codes(tmp_path, 32).bits == 32
    files = {one.file for one in Index.open(tmp_path).description.files()}
    assert {path.name for path in tmp_path.iterdir()} == files | {"index.json", "index.lock"}


def test_stopped_while_a_coder_is_found_the_index_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_index(tmp_path, vectors(200))
    add_codes(tmp_path, 24)
    before = contents(tmp_path)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PaperSGD, "step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        add_codes(tmp_path, 64)
    assert {name: data for name, data in contents(tmp_path).items() if name != "index.lock"} == {
        name: data for name, data in before.items() if name != "index.lock"
    }


def test_an_index_that_is_being_changed_is_finished_first(tmp_path: Path) -> None:
    rows_NU, keys = vectors(100), keys_of(100)
    make_index(tmp_path, rows_NU[:50])
    with pytest.raises(KeyboardInterrupt), changing(tmp_path, about(40)) as changed:
        changed.add(keys[50:], rows_NU[50:])
        changed.keep()
        raise KeyboardInterrupt
    with pytest.raises(UsageError, match="Finish it first"):
        add_codes(tmp_path, 24, method="itq")
    assert len(Index.open(tmp_path)) == 50


def test_a_coder_of_other_vectors_is_no_coder_of_these(tmp_path: Path) -> None:
    """Files that are whole, each as index.json says, but do not belong together."""
    make_index(tmp_path, vectors(60))
    add_codes(tmp_path, 24, method="itq")
    description = Index.open(tmp_path).description
    codes = description.codes
    assert codes is not None
    with changing(tmp_path, about(40)) as changed:
        wrong = codes.__class__(**{**vars(codes), "bits": 32})
        changed.description = changed.description.__class__(
            **{**vars(changed.description), "codes": wrong}
        )
        changed.description.write(tmp_path / "index.json")
    with pytest.raises(DataError, match="no coder of these vectors") as caught:
        Index.open(tmp_path)
    assert codes.file.file in str(caught.value)


def test_codes_are_compared_with_what_they_stand_for(tmp_path: Path) -> None:
    """Of clusters with a label each: every search finds the class, and long codes more of the exact six
    than short ones."""
    draw = np.random.default_rng(4)
    label_N = np.arange(240) % 4
    rows_NU = draw.standard_normal((4, 40))[label_N] * 4 + draw.standard_normal((240, 40))
    places = [
        [Place(0, str(n), "val" if n >= 200 else "train", "abcd"[label_N[n]])] for n in range(240)
    ]
    index = make_index(tmp_path, rows_NU.astype(np.float32), places=places)
    assert index.description.sources == (SourceOf("made", "made", "source"),)
    methods = ("random", "pca")  # of 40 numbers there are no 128 principal directions
    found = compare_codes(index, (4, 128), (0, 1), methods, queries=30, pixels=False)
    assert (found.searched, found.queries) == (200, 30)
    assert [(one.of, one.same_class) for one in found.uncompressed] == [("features", 1.0)]
    assert [(one.method, one.bits, one.seed) for one in found.codes] == [
        *(("random", bits, seed) for bits in (4, 128) for seed in (0, 1)),
        *(("pca", 4, seed) for seed in (0, 1)),
    ]
    short, long = found.codes[0], found.codes[2]
    assert short.exact < long.exact < long.reranked <= 1 and long.same_class == 1
