"""Errors against slow references and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    confusion_matrix,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from alexnet.base.errors import DataError
from alexnet.evaluation.scores import (
    chance,
    confusion,
    most_probable,
    per_class_errors,
    rank_of_label,
    retrieved,
    score,
    tally,
    top_k_error,
)


@st.composite
def with_ties(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Few distinct values, so that equal probabilities are common."""
    K = draw(st.integers(1, 8))
    N = draw(st.integers(1, 12))
    row = st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5]), min_size=K, max_size=K)
    probs = draw(st.lists(row, min_size=N, max_size=N))
    labels = draw(st.lists(st.integers(0, K - 1), min_size=N, max_size=N))
    return np.array(probs, np.float32), np.array(labels), draw(st.integers(1, 6))


@given(with_ties())
def test_top_k_error_agrees_with_sorting_every_image_by_the_written_rule(case) -> None:
    probs_NK, labels_N, k = case
    wrong = 0
    for probs, label in zip(probs_NK.tolist(), labels_N.tolist(), strict=True):
        listed = sorted(range(len(probs)), key=lambda j: (-probs[j], j))
        wrong += label not in listed[:k]
    assert top_k_error(probs_NK, labels_N, k) == pytest.approx(wrong / len(labels_N))


@given(with_ties())
def test_the_list_of_labels_and_the_rank_of_the_correct_one_follow_one_rule(case) -> None:
    probs_NK, labels_N, _ = case
    order_NK = most_probable(probs_NK, probs_NK.shape[1])
    assert (order_NK[np.arange(len(labels_N)), rank_of_label(probs_NK, labels_N)] == labels_N).all()


@pytest.mark.parametrize("k", [1, 2, 5])
def test_agrees_with_scikit_learn_where_nothing_is_equal(k: int) -> None:
    generator = np.random.default_rng(0)
    probs_NK = generator.dirichlet(np.ones(12), size=500)
    labels_N = generator.integers(0, 12, 500)
    accuracy = top_k_accuracy_score(labels_N, probs_NK, k=k, labels=np.arange(12))
    assert top_k_error(probs_NK, labels_N, k) == pytest.approx(1 - accuracy)


def test_the_confusion_table_agrees_with_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    probs_NK = generator.dirichlet(np.ones(7), size=300)
    labels_N = generator.integers(0, 6, 300)  # class 6 has no image, but is answered
    expected = confusion_matrix(labels_N, probs_NK.argmax(axis=1), labels=np.arange(7))
    assert (confusion(probs_NK, labels_N) == expected).all()


def test_errors_of_each_class_by_hand() -> None:
    right, wrong = [0.7, 0.2, 0.1], [0.1, 0.2, 0.7]
    top1_K, top5_K = per_class_errors(
        np.array([right, wrong, right, right]), np.array([0, 0, 0, 1])
    )
    assert top1_K[:2] == pytest.approx([1 / 3, 1])
    assert top5_K[:2] == pytest.approx([0, 0])
    assert np.isnan([top1_K[2], top5_K[2]]).all()  # no image: neither right nor wrong


@pytest.mark.parametrize("K", [3, 5, 6])
def test_with_five_classes_or_fewer_there_is_no_top_5_error(K: int) -> None:
    probs_NK = np.full((2, K), 1 / K)
    top5 = 0.5 if K > 5 else None
    assert score(probs_NK, np.array([K - 1, 0])) == (0.5, top5)
    assert chance(K) == (pytest.approx(1 - 1 / K), pytest.approx(1 / 6) if K > 5 else None)
    assert chance(20) == (pytest.approx(0.95), pytest.approx(0.75))


@given(with_ties())
def test_a_tally_counts_what_was_answered(case) -> None:
    probs_NK, labels_N, _ = case
    listed = [max(range(len(row)), key=lambda j: (row[j], -j)) for row in probs_NK.tolist()]
    found = tally(probs_NK, labels_N)
    of = labels_N.tolist()
    assert found.images == len(of) and found.classes == probs_NK.shape[1]
    assert found.wrong == sum(one != other for one, other in zip(listed, of, strict=True))
    assert found.answered == listed.count(found.answer) == max(map(listed.count, set(listed)))
    assert found.of_largest == of.count(found.largest) == max(map(of.count, set(of)))
    assert (found.of_answer, found.present) == (of.count(found.answer), len(set(of)))


def test_precision_recall_and_f1_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(2)
    labels_N, answers_N = generator.integers(0, 5, (2, 60))  # of seven classes, two never occur
    answers_N[answers_N == 4] = 5  # one is never answered, one only answered
    counts_KK = confusion(np.eye(7)[answers_N], labels_N)
    expected = precision_recall_fscore_support(
        labels_N, answers_N, labels=np.arange(7), zero_division=np.nan
    )
    for mine_K, theirs_K in zip(retrieved(counts_KK), expected, strict=False):
        assert mine_K == pytest.approx(theirs_K, nan_ok=True)


def test_a_network_that_says_the_same_of_everything_errs_like_chance() -> None:
    assert score(np.full((20, 20), 0.05), np.arange(20)) == chance(20)


@pytest.mark.parametrize(
    ("probs", "labels", "said"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "no image"),
        (np.array([[0.5, np.nan]]), np.array([0]), "not finite"),
        (np.array([[0.5, 0.5]]), np.array([2]), "Labels run from 2 to 2 with 2 classes"),
        (np.array([[0.5, 0.5]]), np.array([-1]), "Labels run from -1"),
    ],
)
def test_what_cannot_be_scored_is_refused(probs, labels, said: str) -> None:
    with pytest.raises(DataError, match=said):
        score(probs, labels)
