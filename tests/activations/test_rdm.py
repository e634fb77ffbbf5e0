"""Dissimilarity matrices against SciPy's, in blocks of any size; what has none is named."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import pdist, squareform

from alexnet.activations import dissimilarities, rdm, spearman
from alexnet.base.errors import DataError, NumericsError, UsageError

X_NU = np.random.default_rng(1).gamma(1.0, size=(23, 60)).astype(np.float32) + 5


@pytest.mark.parametrize("rows", [1, 3, 7, 1024])
@pytest.mark.parametrize(
    ("metric", "theirs"),
    [("pearson", "correlation"), ("euclidean", "euclidean"), ("cosine", "cosine")],
)
def test_they_are_scipys_in_blocks_of_any_size(
    metric: str, theirs: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rdm, "_BLOCK_ROWS", rows)
    found_NN = dissimilarities(X_NU.reshape(23, 4, 3, 5), metric)
    assert found_NN == pytest.approx(squareform(pdist(X_NU.astype(float), theirs)), abs=1e-12)
    assert (found_NN == found_NN.T).all() and (np.diag(found_NN) == 0).all()


@pytest.mark.parametrize("rows", [1, 7, 1024])
def test_every_pair_is_counted_once(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rdm, "_BLOCK_ROWS", rows)
    done: list[int] = []
    dissimilarities(X_NU, advance=done.append)
    assert sum(done) == 23 * 22 // 2


def test_images_that_nothing_can_be_said_of_are_named() -> None:
    x_NU = X_NU.copy()
    x_NU[[4, 20]] = 0.1
    keys = [f"cat/{n}.jpg" for n in range(23)]
    with pytest.raises(DataError, match="2 images are all constant") as caught:
        dissimilarities(x_NU, "pearson", keys)
    assert caught.value.where == "cat/4.jpg, cat/20.jpg"
    dissimilarities(x_NU, "cosine", keys)
    x_NU[4] = 0
    with pytest.raises(DataError, match="1 image are all zero"):
        dissimilarities(x_NU, "cosine", keys)
    assert dissimilarities(x_NU, "euclidean")[4, 4] == 0
    x_NU[7, 3] = np.nan
    for metric in ("pearson", "euclidean", "cosine"):
        with pytest.raises((NumericsError, DataError)) as caught_too:
            dissimilarities(x_NU[5:15], metric, keys[5:15])
        assert "cat/7.jpg" in caught_too.value.where


def test_one_image_and_other_metrics_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="the file has 1"):
        dissimilarities(X_NU[:1])
    with pytest.raises(UsageError) as caught:
        dissimilarities(X_NU, "person")
    assert "'pearson'" in caught.value.remedy


def test_layers_are_compared_by_ranks() -> None:
    rdms = {
        metric: dissimilarities(X_NU.round(), metric)
        for metric in ("pearson", "euclidean", "cosine")
    }
    upper = np.triu_indices(23, k=1)
    theirs = scipy.stats.spearmanr(np.array([one[upper] for one in rdms.values()]).T)
    assert spearman(rdms) == pytest.approx(np.asarray(theirs.statistic), abs=1e-12)
    assert np.isnan(spearman({"one pair": rdms["cosine"][:2, :2]})).all()
