"""Which pictures a step trains on."""

import numpy as np

from alexnet.loading.order import Order


def test_each_picture_once_in_each_epoch() -> None:
    order = Order(count=10, batch=4, seed=0)
    steps = [order.of_step(step) for step in range(5)]  # 20 places: two epochs
    epochs, indices = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    for epoch in (0, 1):
        assert sorted(indices[epochs == epoch]) == list(range(10))
    assert list(epochs) == sorted(epochs)
    assert list(indices[:10]) != list(indices[10:])


def test_a_batch_may_be_larger_than_the_set() -> None:
    epochs, indices = Order(count=3, batch=8, seed=0).of_step(0)
    assert list(epochs) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert sorted(indices[:3]) == [0, 1, 2]


def test_steps_cover_the_epochs_and_count_them() -> None:
    order = Order(count=10, batch=4, seed=0)
    assert [order.steps(epochs) for epochs in (0.4, 1, 2, 2.05)] == [1, 3, 5, 5]
    assert [order.epochs_done(step) for step in (0, 2, 3, 4, 5)] == [0, 0, 1, 1, 2]


def test_seed_decides() -> None:
    def first(seed: int) -> list[int]:
        return list(Order(100, 100, seed).of_step(0)[1])

    assert first(0) == first(0) != first(1)
