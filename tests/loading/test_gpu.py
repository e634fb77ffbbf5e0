"""Views cut by the GPU's kernel are the CPU's, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from alexnet.config import AugmentationConfig, Epochs
from alexnet.loading.loader import Loader, view_batches
from alexnet.prepared import PreparedDataset

pytest.importorskip("triton", reason="Triton is not installed")

from alexnet.loading import gpu
from alexnet.loading.gpu import DeviceBatch, DeviceLoader, device_view_batches

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter takes a millisecond a program, however much each does."""
    if DEVICE == "cpu":
        monkeypatch.setattr(gpu, "PER_PROGRAM", 1 << 16)


@pytest.fixture
def loader(dataset: PreparedDataset) -> Loader:
    return Loader(dataset.split("train"), dataset.statistics, AugmentationConfig(), 5, seed=3)


def cut(batch: DeviceBatch, dtype: torch.dtype) -> torch.Tensor:
    x_BCHW = torch.empty(len(batch.cuts_B8), 3, 224, 224, dtype=dtype, device=DEVICE)
    x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
    batch.cut_into(x_BCHW)
    return x_BCHW.permute(0, 2, 3, 1).cpu()


@pytest.mark.parametrize("resident", [True, False])
def test_batches_are_the_cpus(loader: Loader, resident: bool) -> None:
    ours = DeviceLoader(loader, DEVICE, resident)
    border = len(loader.split) // 5  # this step's images are of two epochs
    steps = range(border - 2, border + 4)  # more than there are slots
    for step, batch in zip(steps, ours.batches(steps[0], steps[-1] + 1), strict=True):
        cpus = loader.make(step)
        assert batch.step == step
        np.testing.assert_array_equal(cut(batch, torch.float32).numpy(), cpus.x_BHWC)
        np.testing.assert_array_equal(batch.labels_B.cpu().numpy(), cpus.labels_B)
        np.testing.assert_array_equal(batch.indices_B, cpus.indices_B)
        np.testing.assert_array_equal(batch.epochs_B, cpus.epochs_B)


def test_bfloat16_is_the_rounded_float32(loader: Loader) -> None:
    (batch,) = DeviceLoader(loader, DEVICE).batches(0, 1)
    exact = torch.from_numpy(loader.make(0).x_BHWC)
    torch.testing.assert_close(cut(batch, torch.bfloat16).float(), exact, rtol=2**-7, atol=0)


@pytest.mark.parametrize(("fixture", "crop"), [("small", 24), ("dataset", 227)])
def test_other_crops_and_the_programs_draws_are_the_cpus(
    fixture: str, crop: int, request: pytest.FixtureRequest
) -> None:
    data: PreparedDataset = request.getfixturevalue(fixture)
    draws = AugmentationConfig(crops="shared", colour_until=Epochs(1), colour_divisor=1.1)
    loader = Loader(data.split("train"), data.statistics, draws, 5, seed=3, crop=crop)
    border = len(loader.split) // 5  # from here on there is no colour noise
    for batch in DeviceLoader(loader, DEVICE).batches(border - 1, border + 2):
        x_BCHW = torch.empty(5, 3, crop, crop, device=DEVICE)
        x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
        batch.cut_into(x_BCHW)
        expected = loader.make(batch.step).x_BHWC
        np.testing.assert_array_equal(x_BCHW.permute(0, 2, 3, 1).cpu().numpy(), expected)


@pytest.mark.parametrize("views", [1, 10])
def test_views_of_evaluation_are_the_cpus(dataset: PreparedDataset, views: int) -> None:
    split, mean = dataset.split("train"), dataset.statistics.mean_HWC
    batches = [range(0, 3), range(3, 8)]
    ours = device_view_batches(split, mean, views, batches, DEVICE, torch.float32)
    for x_NCHW, x_NHWC in zip(ours, view_batches(split, mean, views, batches), strict=True):
        np.testing.assert_array_equal(x_NCHW.permute(0, 2, 3, 1).cpu().numpy(), x_NHWC)


@pytest.mark.skipif(DEVICE == "cpu", reason="no GPU here")
def test_a_set_stays_where_half_of_the_free_memory_holds_it() -> None:
    free, _ = torch.cuda.mem_get_info()
    assert gpu._fits(free // 3, torch.device("cuda"))
    assert not gpu._fits(2 * free // 3, torch.device("cuda"))
