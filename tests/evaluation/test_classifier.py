"""The classifier: one preprocessing path, every kind of image, refusals that explain."""

from __future__ import annotations

import io
import shutil
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
from alexnet.loading.files import pixels_of, several
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


def test_images_come_in_every_form_that_programs_have_them_in(
    classifier: Classifier, photo_folder: Path, tmp_path: Path
) -> None:
    files = sorted((photo_folder / "val" / "coffee").glob("*.png"))[:2]
    pixels_NHWC = np.stack([pixels_of(file) for file in files])
    expected_NK = classifier.probabilities(files, views=1)
    tensor = torch.from_numpy(pixels_NHWC.copy())
    same = [
        (file for file in files),
        map(str, files),
        np.array([str(file) for file in files]),
        pixels_NHWC,
        pixels_NHWC.transpose(0, 3, 1, 2),
        list(pixels_NHWC),
        tensor,
        tensor.permute(0, 3, 1, 2),
        [one.permute(2, 0, 1) for one in tensor],
        tuple(tensor),
    ]
    for images in same:
        assert (np.stack([pixels_of(one) for one in several(images)]) == pixels_NHWC).all()
    for file in files:
        shutil.copy(file, tmp_path / file.name)
    for images in (tensor.permute(0, 3, 1, 2), tmp_path, str(tmp_path), iter(files)):
        assert (classifier.probabilities(images, views=1) == expected_NK).all()
    features_NU = classifier.features(pixels_NHWC, "fc8")
    assert (classifier.features(tmp_path, "fc8") == features_NU).all()
    alone = classifier.probabilities(str(files[0]), views=1)
    assert alone.shape == (1, len(classifier.classes))
    one = classifier.predict(tensor[0].permute(2, 0, 1), views=1)
    assert one == classifier.predict(files[0], views=1)
    answers = classifier.predict(np.array([str(file) for file in files]), views=1)
    assert [answer[0].label for answer in answers] == [
        classifier.classes[k] for k in expected_NK.argmax(axis=1)
    ]


def test_a_classifier_says_what_it_is(classifier: Classifier) -> None:
    first = ", ".join(classifier.card.titles[:3])
    said = f"Classifier(paper: {len(classifier.classes)} classes ({first}, ...), on cpu)"
    assert repr(classifier) == said


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
        (PIXELS.astype(np.float32) + 7.5, "float32 300 x 280 x 3, values 7.5 to 7.5", "0-255"),
        (PIXELS + np.float64(0.25), "float64 300 x 280 x 3, values 0.25 to 0.25", "(255 * pixels)"),
        (PIXELS - 1.5, "float64 300 x 280 x 3, values -1.5 to -1.5", "Undo the normalization"),
        (torch.zeros(3, 300, 280), "float32 3 x 300 x 280, values 0 to 0", ".round().byte()"),
        (torch.zeros(3, 300, 280, dtype=torch.bfloat16), "Tensor: ", "image.byte()"),
        (PIXELS[None], "uint8 1 x 300 x 280 x 3", "list(pixels)"),
        (torch.tensor(PIXELS[None]), "uint8 1 x 300 x 280 x 3", "list(pixels)"),
        (PIXELS[..., 0], "uint8 300 x 280", "np.stack"),
        (PIXELS[..., :1], "uint8 300 x 280 x 1", "np.stack"),
        (PIXELS.repeat(2, axis=2)[..., :4], "uint8 300 x 280 x 4", "Image.fromarray(pixels)"),
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
    for thing in (7, None, io.BytesIO(b"")):
        with pytest.raises(UsageError, match=f"got a {type(thing).__name__}"):
            classifier.predict([thing])  # type: ignore[list-item]
    for pair in ({"a.png"}, {"a.png": 1}):
        with pytest.raises(UsageError, match="Give a list"):
            classifier.probabilities(pair)


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
    with pytest.raises(DataError, match="This is a folder") as told:
        classifier.predict(tmp_path)
    command = told.value.remedy.partition(": ")[2]
    shutil.copy(image, tmp_path / "cut.png")
    assert len(eval(command, {"model": classifier, "alexnet": alexnet})) == 1


def test_one_bad_file_is_named_with_the_way_on(
    classifier: Classifier, image: Path, tmp_path: Path
) -> None:
    gone, broken = tmp_path / "gone.png", tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match="1 of 3 images are not there") as caught:
        classifier.predict([image, gone, image])
    assert caught.value.where == str(gone)
    with pytest.raises(DataError) as caught:
        classifier.probabilities([image, broken])
    assert caught.value.where == str(broken) and "model.answers(files)" in caught.value.remedy
    answers = dict(classifier.answers([str(image), str(broken), str(gone)], views=1))
    kinds = [isinstance(answer, DataError) for answer in answers.values()]
    assert kinds == [False, True, True]


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
