"""Addressed randomness: the generator's published test vectors, and what its addresses promise."""

import numpy as np
import pytest

from alexnet.base.philox import philox
from alexnet.base.randomness import (
    Purpose,
    bernoulli,
    normals,
    permutation,
    uniforms,
    words,
)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # from the authors' file of known answers (Random123, philox4x32, 10 rounds)
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(
    counter: tuple[int, ...], key: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert philox(*map(np.uint64, (*counter, *key))) == expected


def test_a_draw_depends_on_its_address_alone() -> None:
    together = words(7, Purpose.CROP, 3, np.arange(100))
    assert np.array_equal(words(7, Purpose.CROP, 3, np.array([42, 5])), together[[42, 5]])
    for other in (
        words(8, Purpose.CROP, 3, np.arange(100)),
        words(7, Purpose.COLOUR, 3, np.arange(100)),
        words(7, Purpose.CROP, 4, np.arange(100)),
        words(7 + 2**32, Purpose.CROP, 3, np.arange(100)),
    ):
        assert not (other == together).all(axis=1).any()


def test_uniforms_and_normals_have_their_moments() -> None:
    u = uniforms(0, Purpose.CROP, 0, np.arange(50_000))
    z = normals(0, Purpose.COLOUR, 0, np.arange(50_000))
    assert u.min() > 0 and u.max() < 1
    count = u.size
    assert abs(u.mean() - 0.5) < 5 / (12 * count) ** 0.5
    assert abs(z.mean()) < 5 / count**0.5 and abs(z.std() - 1) < 5 / (2 * count) ** 0.5
    assert abs(np.corrcoef(z.T) - np.eye(4)).max() < 5 / 50_000**0.5


def test_permutation_is_one_and_differs_by_epoch() -> None:
    one = permutation(0, Purpose.ORDER, 0, 1000)
    assert sorted(one) == list(range(1000))
    assert (one == permutation(0, Purpose.ORDER, 1, 1000)).sum() < 20


def test_bernoulli_parts_are_parts_of_the_whole() -> None:
    whole = bernoulli((10, 7), 0.3, 1, Purpose.DROPOUT, time=2, lane=5)
    part = bernoulli((4, 7), 0.3, 1, Purpose.DROPOUT, time=2, lane=5, first=6 * 7)
    assert np.array_equal(whole[6:], part)
    many = bernoulli((100_000,), 0.3, 1, Purpose.DROPOUT, time=2)
    assert abs(many.mean() - 0.3) < 5 * (0.21 / 100_000) ** 0.5
