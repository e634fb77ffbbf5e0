"""Which images a step trains on."""

import numpy as np

from alexnet.loading.order import BLOCK, WINDOW, Order


def test_each_image_once_in_each_epoch() -> None:
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


def blocks(count: int, batch: int = 128, seed: int = 0) -> Order:
    return Order(count, batch, seed, "blocks")


def test_blocks_take_each_image_once_in_each_epoch() -> None:
    count = 3 * WINDOW + 1000  # the last run is short
    order = blocks(count)
    steps = [order.of_step(step) for step in range(2 * count // 128 + 1)]
    epochs, indices = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    for epoch in (0, 1):
        assert (np.sort(indices[epochs == epoch]) == np.arange(count)).all()
    assert (indices[:count] != indices[count : 2 * count]).any()


def test_blocks_read_few_runs_at_a_time() -> None:
    order = blocks(count := 4 * WINDOW)
    (_, indices) = Order(count, count, 0, "blocks").of_step(0)
    for window in range(4):
        here = indices[window * WINDOW : (window + 1) * WINDOW]
        runs = np.unique(here // BLOCK)
        assert len(runs) == WINDOW // BLOCK
        first, end = order.window(window)
        assert set(first) == set(BLOCK * runs) and (end - first == BLOCK).all()
    steps = [order.window_of_step(step) for step in (0, WINDOW // 128 - 1, WINDOW // 128)]
    assert steps == [0, 0, 1]


def test_blocks_mix_classes_that_are_stored_one_after_the_other() -> None:
    """Of 1,000 classes with 100 images each, a batch of 128 has 120 in a full shuffle."""
    seen = [len(np.unique(blocks(100_000).of_step(step)[1] // 100)) for step in range(40)]
    assert np.mean(seen) > 95


def test_order_depends_on_the_step_alone() -> None:
    """A run that goes on elsewhere takes the same images."""
    straight = [blocks(20_000).of_step(step)[1] for step in range(300)]
    for step in (299, 7, 156, 157):
        assert (blocks(20_000).of_step(step)[1] == straight[step]).all()
