"""The columns apart compute what the whole network computes: in one process, and in two."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torture.narrow_run import KERNELS

from alexnet import paper
from alexnet.config import StartConfig
from alexnet.conventions import PAPER
from alexnet.network import AlexNet
from alexnet.network.columns import Column, Columns, HalfConnected, Link, Piece
from alexnet.network.dropout import address, masks_of
from alexnet.network.table import half
from alexnet.training.optimizer import PaperSGD

STEPS, IMAGES, CLASSES, SEED = 20, 3, 5, 11
CROP = 64  # pixels, a twelfth of the paper's
NARROW = replace(PAPER.with_kernels(KERNELS), crop=CROP)


def narrow(dtype: torch.dtype = torch.float64) -> AlexNet:
    start = StartConfig(rule="he", gain=0.8, bias=0.1)
    return AlexNet(CLASSES, NARROW, start, seed=2).to(dtype)


def batch(step: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(step)
    x = 50 * torch.randn(IMAGES, 3, CROP, CROP, generator=random, dtype=torch.float64)
    return x.to(dtype), torch.randint(CLASSES, (IMAGES,), generator=random)


def trained(network: torch.nn.Module, dtype: torch.dtype, steps: int = STEPS) -> list[float]:
    optimizer = PaperSGD(network.parameters(), 0.002, 0.9, 0.0005)
    losses = []
    for step in range(steps):
        x, labels = batch(step, dtype)
        with masks_of(network, address(SEED, step)):
            loss = F.cross_entropy(network(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def parts(network: torch.nn.Module) -> dict[str, Tensor]:
    return {name: w.detach() for name, w in network.named_parameters()}


def whole(
    network: AlexNet, *halves: tuple[dict[str, Tensor], dict[str, Piece]]
) -> dict[str, Tensor]:
    """The whole network's parameters from those of its columns, each number from exactly one."""
    found = {name: torch.full_like(w, torch.nan) for name, w in network.named_parameters()}
    for weights, pieces in halves:
        for name, piece in pieces.items():
            assert piece.shared or found[piece.name][piece.place].isnan().all()
            found[piece.name][piece.place] = weights[name]
    return found


def assert_near(found: dict[str, Tensor], network: AlexNet, tolerance: float) -> None:
    for name, w in network.named_parameters():
        torch.testing.assert_close(found[name], w.detach(), rtol=tolerance, atol=tolerance)


def test_columns_drop_as_often_as_their_network() -> None:
    network, (x, _) = narrow().train(), batch(0, torch.float64)
    network.drop6.p = 0.2
    columns = Columns(network)
    with masks_of(network, address(SEED, 3)):
        expected = network(x)
    with masks_of(columns, address(SEED, 3)):
        torch.testing.assert_close(columns(x), expected)
    torch.testing.assert_close(columns.eval()(x), network.eval()(x))


def test_halves_are_the_papers() -> None:
    kernels = [half(layer.kernels, 0).stop for layer in paper.LAYERS]
    assert kernels == [48, 128, 192, 192, 128, 2048, 2048, 500]
    assert (half(5, 0), half(5, 1)) == (slice(0, 3), slice(3, 5))


@pytest.mark.parametrize("kind", [Column, HalfConnected])
def test_columns_are_all_of_the_network(kind: type[Column]) -> None:
    network = narrow()
    columns = [kind(network, column) for column in (0, 1)]
    both = whole(network, *((parts(column), column.pieces) for column in columns))
    assert all(torch.equal(both[name], w) for name, w in network.named_parameters())
    assert columns[0].theirs == columns[1].pieces
    crossing = [name for name in columns[0].pieces if name.endswith("crossing")]
    layers = ["fc7", "fc8"] if kind is HalfConnected else ["conv3", "fc6", "fc7", "fc8"]
    assert crossing == [f"{layer}.crossing" for layer in layers]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_both_columns_in_one_process_train_as_the_whole(
    dtype: torch.dtype, tolerance: float
) -> None:
    network = narrow(dtype)
    columns = Columns(network)
    expected, found = trained(network, dtype, 6), trained(columns, dtype, 6)
    assert found == pytest.approx(expected, rel=tolerance)
    assert_near(whole(network, (parts(columns), columns.pieces)), network, tolerance)


@pytest.mark.slow
def test_columns_in_two_processes_train_as_the_whole(tmp_path: Path) -> None:
    environment = os.environ | {
        "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2",
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path)], env=environment | {"RANK": str(rank)}
        )
        for rank in (0, 1)
    ]
    network = narrow()
    expected = trained(network, torch.float64)
    assert [process.wait(timeout=240) for process in processes] == [0, 0]
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for one in found:
        assert one["losses"] == pytest.approx(expected, rel=1e-12)
    halves = [(one["weights"], Column(network, n).pieces) for n, one in enumerate(found)]
    assert_near(whole(network, *halves), network, 1e-12)


def main(folder: Path) -> None:
    """One of the two processes."""
    import torch.distributed as dist

    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    column = Column(narrow(), rank, Link(rank))
    losses = trained(column, torch.float64)
    found = {"losses": losses, "weights": parts(column)}
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
