"""The classifier: one preprocessing path, every kind of image, refusals that explain."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import alexnet
from alexnet.base.errors import DataError, UsageError
from alexnet.evaluation.classifier import Classifier
from alexnet.evaluation.predictions import Predictions
from alexnet.loading.crops import cut_views
from alexnet.network import AlexNet
from alexnet.network.alexnet import as_batch
from alexnet.prepared import PreparedDataset, Rejected


@pytest.fixture(scope="module")
def classifier(model_folder: Path) -> Classifier:
    return alexnet.load(model_folder)


@pytest.fixture(scope="module")
def image(photo_folder: Path) -> Path:
    return photo_folder / "val" / "coffee" / "4.png"


def test_a_file_gets_the_answer_that_evaluation_gave_it(
    classifier: Classifier, found: Predictions, photo_folder: Path
) -> None:
    files = sorted((photo_folder / "val").rglob("*.png"))
    probs_NK = classifier.probabilities(files)
    order = [found.keys.index(file.relative_to(photo_folder / "val").as_posix()) for file in files]
    assert probs_NK == pytest.approx(found.probs_NK[order], abs=1e-5)


def test_labels_come_most_probable_first(classifier: Classifier, image: Path) -> None:
    answer = classifier.predict(image)
    assert len(answer) == 5
    assert [one.probability for one in answer] == sorted(
        (one.probability for one in answer), reverse=True
    )
    probs_K = classifier.probabilities([image])[0]
    assert answer[0].label == classifier.classes[probs_K.argmax()]
    assert sum(one.probability for one in classifier.predict(image, top=99)) == pytest.approx(1)


def test_every_kind_of_image_is_the_same_image(classifier: Classifier, image: Path) -> None:
    opened = Image.open(image)
    kinds = [image, str(image), image.read_bytes(), opened, np.asarray(opened), Image.open(image)]
    kinds += [kinds[-1]] * 2  # not yet decoded, and there three times
    answers = classifier.predict(kinds, views=1)
    assert all(answer == answers[0] for answer in answers)
    alone = classifier.predict(image, views=1)  # in a batch of one, rounded a little differently
    assert [one.label for one in alone] == [one.label for one in answers[0]]
    assert alone[0].probability == pytest.approx(answers[0][0].probability, rel=1e-3)


def test_an_opened_image_of_another_mode_takes_the_written_rule(classifier: Classifier) -> None:
    clear = Image.new("RGBA", (300, 280), (10, 20, 30, 0))  # nothing but transparent: white
    white = np.full((280, 300, 3), 255, np.uint8)
    assert classifier.predict(clear, views=1) == classifier.predict(white, views=1)


def test_features_are_the_named_activation_of_the_centre(
    classifier: Classifier, network: AlexNet, photo_set: PreparedDataset
) -> None:
    split = photo_set.split("val")
    features = classifier.features([split.pixels(n) for n in range(9)], "fc7")
    centred = split.pixels(8)[16:240, 16:240] - photo_set.statistics.mean_HWC[16:240, 16:240]
    x_NCHW = torch.tensor(centred).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = network.activations(x_NCHW, ["fc7"])["fc7"].numpy()
    assert features.shape == (9, 4096)
    assert features[8] == pytest.approx(expected[0], rel=1e-4, abs=1e-4)
    assert classifier.features(split.pixels(0), "pool5").shape == (1, 256, 6, 6)
    both = classifier.features([split.pixels(8)], ["pool1", "conv2"], views=10)
    with torch.no_grad():
        x_NCHW = as_batch(cut_views(split.pixels(8), photo_set.statistics.mean_HWC, 10))
        ten = network.activations(x_NCHW, ["pool1", "conv2"])
    for name in ("pool1", "conv2"):
        mean = ten[name].mean(dim=0, keepdim=True).numpy()
        assert both[name] == pytest.approx(mean, rel=1e-3, abs=1e-3)
    with pytest.raises(UsageError, match="views is 3"):
        classifier.features(split.pixels(0), "fc7", views=3)
    with pytest.raises(UsageError, match="'fc9'"):
        classifier.features(split.pixels(0), "fc9")


PIXELS = np.zeros((300, 280, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "came", "remedy"),
    [
        (PIXELS.astype(np.float32) + 0.5, "float32 300 x 280 x 3, values 0.5 to 0.5", "0-255"),
        (PIXELS.transpose(2, 0, 1), "uint8 3 x 300 x 280", "transpose(1, 2, 0)"),
        (PIXELS[None], "uint8 1 x 300 x 280 x 3", "list(pixels)"),
        (PIXELS[..., 0], "uint8 300 x 280", "np.stack"),
        (PIXELS[..., :2], "uint8 300 x 280 x 2", "at least 16"),
        (PIXELS[:4], "uint8 4 x 280 x 3", "at least 16"),
    ],
)
def test_unusable_pixels_are_told_what_was_expected_and_what_came(
    classifier: Classifier, image: np.ndarray, came: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as caught:
        classifier.predict(image)
    assert "Expected uint8 H x W x 3" in caught.value.what
    assert came in caught.value.what
    assert remedy in caught.value.remedy


def test_something_that_is_no_image_at_all(classifier: Classifier) -> None:
    with pytest.raises(UsageError, match="got a Tensor"):
        classifier.predict([torch.zeros(1, 3, 224, 224)])  # type: ignore[list-item]


def test_files_that_are_no_images_are_named(
    classifier: Classifier, image: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(image.read_bytes()[:2000])
    with pytest.raises(Rejected) as caught:
        classifier.predict(cut)
    assert caught.value.reason == "truncated"
    assert str(cut) in str(caught.value)
    with pytest.raises(DataError, match="no such file"):
        classifier.predict(tmp_path / "nothing.png")
    with pytest.raises(DataError, match="Not an image file"):
        classifier.predict(tmp_path)


def test_an_opened_image_whose_file_is_cut_is_rejected_too(
    classifier: Classifier, image: Path
) -> None:
    with pytest.raises(Rejected):
        classifier.predict(Image.open(io.BytesIO(image.read_bytes()[:2000])))


@pytest.mark.parametrize("options", [{"views": 5}, {"top": 0}])
def test_impossible_options_are_refused(classifier: Classifier, image: Path, options) -> None:
    with pytest.raises(UsageError, match=r"is \d"):
        classifier.predict(image, **options)


def test_no_images_no_answers(classifier: Classifier) -> None:
    assert classifier.predict([]) == []
