"""A PyTorch program computes what the network computes, where this package is not."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from elsewhere import CASES, CLASSES, TITLES, narrow

from alexnet.base.errors import DataError, IncompatibleError
from alexnet.exchange import program
from alexnet.exchange.check import outputs
from alexnet.models import ModelCard
from alexnet.models.arrays import set_parameters
from alexnet.models.folder import weights_sha256
from alexnet.network import AlexNet

FIRST = {"original2012", "onetower", "cifar13"}  # these have every operation
NETWORKS = [
    pytest.param(*case, marks=() if case[0] in FIRST else pytest.mark.slow) for case in CASES
]

ELSEWHERE = """
import json, sys
sys.modules["alexnet"] = None  # `import alexnet` fails
import numpy, torch
about = {"classes": "", "preprocessing": "", "convention": ""}
program = torch.export.load("x.pt2", extra_files=about).module()
images = torch.from_numpy(numpy.load("images.npy"))
found = {}
for count in (1, 3):
    found[count] = program(images[:count])["probabilities"].tolist()
names = sorted(name for name, _ in program.named_parameters())
try:
    import alexnet
except ImportError:
    print(json.dumps([found, json.loads(about["classes"]), names]))
"""


@pytest.fixture(scope="module")
def small(photo_folder: Path) -> tuple[AlexNet, ModelCard, np.ndarray]:
    return narrow("cifar13", "", photo_folder)


@pytest.fixture(scope="module")
def data(small: tuple[AlexNet, ModelCard, np.ndarray]) -> bytes:
    return program.build(*small[:2])


@pytest.mark.parametrize(("name", "variant"), NETWORKS)
def test_the_program_computes_what_the_network_computes(
    name: str, variant: str, photo_folder: Path
) -> None:
    network, card, images = narrow(name, variant, photo_folder)
    built = program.build(network, card)
    ours = outputs(network, card, images)
    for count in (1, 3):
        theirs = program.run(built, images[:count])
        np.testing.assert_allclose(theirs.logits_NK, ours.logits_NK[:count], atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(theirs.probs_NK, ours.probs_NK[:count], atol=1e-4, rtol=1e-4)


def test_it_runs_where_this_package_cannot_be_imported(
    small: tuple[AlexNet, ModelCard, np.ndarray], data: bytes, tmp_path: Path
) -> None:
    network, card, images = small
    (tmp_path / "x.pt2").write_bytes(data)
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found, classes, names = json.loads(done.stdout)
    assert classes == [*CLASSES] and names == sorted(dict(network.named_parameters()))
    ours = outputs(network, card, images).probs_NK
    for count, probs_NK in found.items():
        np.testing.assert_allclose(probs_NK, ours[: int(count)], atol=1e-4, rtol=1e-4)


def test_it_has_pytorchs_operators_no_pickle_and_no_path(data: bytes) -> None:
    graph = torch.export.load(io.BytesIO(data)).graph
    called = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    assert called and all(name.startswith("aten.") for name in called)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert not any(b"torch._utils" in text or b".py" in text for text in files.values())


def test_the_same_network_is_the_same_bytes(
    small: tuple[AlexNet, ModelCard, np.ndarray], data: bytes
) -> None:
    assert program.build(*small[:2]) == data


def test_ten_classes_come_back_with_their_names(
    small: tuple[AlexNet, ModelCard, np.ndarray], tmp_path: Path
) -> None:
    network, card, _ = small
    assert program.export_pt2(network, card, tmp_path / "x.pt2").logit < 1e-5
    about, arrays, classes, titles, statistics = program.read_pt2(tmp_path / "x.pt2")
    assert about == network.convention and (classes, titles) == (CLASSES, TITLES)
    assert np.array_equal(statistics["mean"], card.mean_HWC)
    again = AlexNet(10, about, seed=1)
    set_parameters(again, arrays, "x.pt2")
    assert weights_sha256(again) == weights_sha256(network)


def test_a_program_of_other_weights_is_not_kept(
    small: tuple[AlexNet, ModelCard, np.ndarray],
    data: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, card, _ = small
    other = AlexNet(10, small[0].convention)
    monkeypatch.setattr(program, "build", lambda *_: data)
    with pytest.raises(IncompatibleError, match="The program does not compute"):
        program.export_pt2(other, card, tmp_path / "x.pt2")
    assert not any(tmp_path.iterdir())


def test_damaged_and_foreign_programs_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.pt2"
    with pytest.raises(DataError, match="missing"):
        program.read_pt2(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="Not a readable"):
        program.read_pt2(path)
    exported = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(exported, path)
    with pytest.raises(IncompatibleError, match="format None"):
        program.read_pt2(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:  # a bomb would be
        archive.writestr("archive/extra/format", "0" * 1000)
    with pytest.raises(DataError, match="compressed"):
        program.read_pt2(path)
