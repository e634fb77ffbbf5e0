"""The ledger: where the paper is silent, in error, or differs from its program, and what is done here.

Each row is data: what the paper says, what the original program did, what Caffe and PyTorch do, the
choice, and the test that pins it. `make docs` writes docs/deviations.md from these rows.
"""

from __future__ import annotations

from typing import NamedTuple


class Deviation(NamedTuple):
    """One point that the paper leaves open, or where the paper, its program and others differ."""

    topic: str
    section: str  # of the paper
    paper: str
    program: str  # the original program, whose source was published in 2025
    caffe: str
    pytorch: str  # torch.nn, torch.optim, and torchvision's `alexnet`
    choice: str  # what this package does
    test: str  # the test that pins it: file::function


_SILENT = "Not stated."
_UNKNOWN = "Not known."
_SAME = "As the paper."

LEDGER = (
    Deviation(
        topic="Rescaling filter",
        section="2",
        paper="The shorter side becomes 256 pixels; the filter is not stated.",
        program=_UNKNOWN,
        caffe="Stretches both sides to 256, without keeping the aspect ratio.",
        pytorch="Bilinear, shorter side to 256.",
        choice="Shorter side to 256 with an antialiased filter, named in `dataset.json`; "
        "the aspect ratio is kept and the central 256×256 are cut out.",
        test="tests/prepared/test_pixels.py::test_shorter_side_to_256_then_the_centre",
    ),
    Deviation(
        topic="Images that are not RGB",
        section="2",
        paper="Raw RGB values; grey, CMYK or transparent files are not mentioned.",
        program="Converts every image to RGB.",
        caffe="OpenCV's conversion to three channels.",
        pytorch="Pillow's conversion to RGB.",
        choice="A written rule for every colour mode: grey is repeated in three channels, "
        "transparency is laid over white, conversions are counted.",
        test="tests/prepared/test_pixels.py::test_grey_is_repeated",
    ),
    Deviation(
        topic="JPEG between preparation and training",
        section="2",
        paper=_SILENT,
        program="Stores the 256×256 images as JPEG files in batches.",
        caffe="Raw pixels, or the encoded file, in a database.",
        pytorch="Decodes the original file in every epoch.",
        choice="`--storage jpeg` quantizes once more at a high quality, `--storage raw` does not; "
        "mean and colour statistics come from the pixels that training reads.",
        test="tests/prepared/test_dataset.py::test_statistics_are_those_of_the_training_images_as_they_are_read",
    ),
    Deviation(
        topic="Where the mean image is subtracted",
        section="2",
        paper="From each pixel, over the training set: a 256×256 mean image.",
        program="Crops the mean image at its centre, and subtracts this crop from every crop.",
        caffe="Subtracts the mean image at the position of the crop.",
        pytorch="One mean (and standard deviation) per channel.",
        choice="The paper: the mean at the position of the crop, also in `original2012`.",
        test="tests/loading/test_crops.py::test_mean_is_subtracted_at_the_place_of_the_crop",
    ),
    Deviation(
        topic="Input of 224 or 227 pixels",
        section="3.5",
        paper="224×224 with 11×11 kernels every 4 pixels, which does not divide evenly.",
        program="Rounds the number of positions up to 55: no padding at the left and top; the last "
        "windows extend 3 pixels beyond the right and bottom edges, over zeros.",
        caffe="227×227 without padding.",
        pytorch="224×224 with 2 pixels of padding on every side: another network.",
        choice="224×224, padded by 0 at the left and top and by 3 at the right and bottom.",
        test="tests/network/test_alexnet.py::test_conv1_windows_overhang_right_and_bottom_only",
    ),
    Deviation(
        topic="Padding of the other layers",
        section="3.5",
        paper="Not stated; the printed sizes imply 2 for conv2 and 1 for conv3 to conv5.",
        program="2, 1, 1, 1.",
        caffe="2, 1, 1, 1.",
        pytorch="2, 1, 1, 1.",
        choice="2, 1, 1, 1.",
        test="tests/network/test_table.py::test_output_sizes_are_the_papers",
    ),
    Deviation(
        topic="Neurons of conv1",
        section="3.5",
        paper="Prints 253,440, but 55×55×96 = 290,400; only with the latter does the total agree "
        "with the 650,000 of the abstract.",
        program="290,400.",
        caffe="290,400.",
        pytorch="193,600 (55×55×64).",
        choice="290,400; 659,272 in total.",
        test="tests/network/test_table.py::test_neurons_are_the_printed_ones_but_for_conv1",
    ),
    Deviation(
        topic="Share of parameters in a convolutional layer",
        section="1",
        paper="Each convolutional layer holds no more than 1 % of the parameters.",
        program="conv3 holds 1.5 %, conv4 1.1 %.",
        caffe="The same counts.",
        pytorch="Another network.",
        choice="The exact counts: 60,965,224 parameters, of which conv3 has 885,120.",
        test="tests/network/test_table.py::test_parameters_are_the_papers",
    ),
    Deviation(
        topic="Normalization: alpha, and division by n",
        section="3.3",
        paper="alpha = 0.0001 times the plain sum of 5 squares; k = 2.",
        program="Divides alpha by the window: its 0.0001 is 0.00002 in the paper's formula; k = 2.",
        caffe="Divides alpha by the window; k = 1.",
        pytorch="Divides alpha by the window: needs alpha = 0.0005 for the paper's formula.",
        choice="The paper's formula and values.",
        test="tests/network/test_lrn.py::test_pytorch_needs_five_times_alpha",
    ),
    Deviation(
        topic="Normalization: alpha and beta exchanged",
        section="3.3",
        paper="alpha = 0.0001 and beta = 0.75; some retellings exchange the two.",
        program=_SAME,
        caffe=_SAME,
        pytorch=_SAME,
        choice="The paper's.",
        test="tests/test_paper.py::test_normalization_constants",
    ),
    Deviation(
        topic="Normalization across the columns",
        section="3.3",
        paper="Not stated whether the neighbours of map 47 include map 48, on the other GPU.",
        program="Each column by itself: 48 and 48 maps, 128 and 128.",
        caffe="Across all 96 (256) maps.",
        pytorch="Across all maps.",
        choice="Each column by itself.",
        test="tests/network/test_lrn.py::test_columns_do_not_see_each_other",
    ),
    Deviation(
        topic="Order of ReLU and normalization",
        section="3.3",
        paper="ReLU, then normalization, then pooling.",
        program="In layer 1 normalization and pooling first, then ReLU; in layer 2 as the paper.",
        caffe="`bvlc_alexnet` as the paper; `bvlc_reference_caffenet` pools first.",
        pytorch="No normalization.",
        choice="The paper's order in both layers.",
        test="tests/network/test_alexnet.py::test_order_is_relu_normalization_pooling",
    ),
    Deviation(
        topic="A second normalization in layer 2",
        section="3.3",
        paper="None.",
        program="After the first, another inside each map: 5×5, alpha 0.001 divided by 25, "
        "beta 0.75, k = 1.",
        caffe="None.",
        pytorch="None.",
        choice="None.",
        test="tests/network/test_table.py::test_normalization_follows_conv1_and_conv2_once",
    ),
    Deviation(
        topic="Positions of random crops",
        section="4.1",
        paper="A factor of 2048, which is 32 × 32 positions and 2 reflections.",
        program="Draws from 0 to 32 inclusive: 33 × 33 positions.",
        caffe="33 × 33 positions (30 × 30 for 227 pixels).",
        pytorch="33 × 33 positions; its recipe crops at random sizes and shapes.",
        choice="The paper: 0 to 31; 29 × 29 positions for 227 pixels.",
        test="tests/loading/test_crops.py::test_there_are_2048_views",
    ),
    Deviation(
        topic="One crop for each image",
        section="4.1",
        paper="Random patches of the images.",
        program="Draws one position and one reflection for every 32 images.",
        caffe="One draw for each image.",
        pytorch="One draw for each image.",
        choice="One draw for every use of every image.",
        test="tests/loading/test_crops.py::test_images_draw_independently",
    ),
    Deviation(
        topic="Strength of the colour noise",
        section="4.1",
        paper="Calls lambda the eigenvalue of the covariance; on the 0–255 scale this would "
        "drown every image.",
        program="Multiplies by the standard deviations, the square roots of the eigenvalues.",
        caffe="No colour noise.",
        pytorch="None; constants often copied elsewhere (0.2175, 0.0188, 0.0045) are eigenvalues "
        "on a 0–1 scale, about 2, 8 and 17 times too weak.",
        choice="The standard deviations of the training set.",
        test="tests/loading/test_colour.py::test_strength_is_a_tenth_of_the_standard_deviations",
    ),
    Deviation(
        topic="Scale after the colour noise",
        section="4.1",
        paper="None.",
        program="Divides the sum by 1.1.",
        caffe="No colour noise.",
        pytorch="None.",
        choice="No division.",
        test="tests/loading/test_colour.py::test_the_shift_is_added_and_nothing_else",
    ),
    Deviation(
        topic="Colour noise to the end",
        section="4.1",
        paper="Each time an image is used.",
        program="Switches it off for the last third of the epochs at the lowest rate.",
        caffe="No colour noise.",
        pytorch="None.",
        choice="On in every epoch.",
        test="tests/loading/test_loader.py::test_every_epoch_draws_its_own_colour",
    ),
    Deviation(
        topic="Dropout at test time",
        section="4.2",
        paper="Training drops with 0.5 and does not rescale; at test time outputs times 0.5.",
        program=_SAME,
        caffe="Training multiplies the kept outputs by 2; nothing at test time.",
        pytorch="Training multiplies the kept outputs by 2; nothing at test time; "
        "torchvision drops before fc6 and fc7.",
        choice="The paper's form. To exchange weights with the other form, "
        "halve the weights of fc7 and fc8.",
        test="tests/network/test_alexnet.py::test_dropout_halves_at_test_time_only",
    ),
    Deviation(
        topic="The learning rate inside the velocity",
        section="5",
        paper="v ← 0.9 v − 0.0005 ε w − ε gradient: after a drop of ε the old velocity keeps its scale.",
        program=_SAME,
        caffe=_SAME,
        pytorch="SGD multiplies the whole velocity by the current learning rate.",
        choice="The paper's rule.",
        test="tests/training/test_optimizer.py::test_velocity_keeps_its_scale_when_the_rate_drops",
    ),
    Deviation(
        topic="Weight decay of biases",
        section="5",
        paper="The rule is written for weights w; biases are not mentioned.",
        program="Weights alone.",
        caffe="Weights alone.",
        pytorch="All parameters, unless told otherwise.",
        choice="Weights alone.",
        test="tests/training/test_optimizer.py::test_biases_do_not_decay",
    ),
    Deviation(
        topic="Learning rate of biases",
        section="5",
        paper="An equal learning rate for all layers; biases are not mentioned.",
        program="Twice the rate of the weights at the start.",
        caffe="Twice the rate of the weights.",
        pytorch="One rate.",
        choice="One rate.",
        test="tests/training/test_optimizer.py::test_biases_learn_at_the_rate_of_the_weights",
    ),
    Deviation(
        topic="Initial weights of the 3×3 layers",
        section="5",
        paper="Standard deviation 0.01 in every layer.",
        program="0.03 in conv3, conv4 and conv5.",
        caffe="0.01; 0.005 in fc6 and fc7.",
        pytorch="Uniform, by the number of inputs.",
        choice="0.01 in the recipe `paper`; `small` scales each layer by its number of inputs.",
        test="tests/network/test_initialization.py::test_paper_start",
    ),
    Deviation(
        topic="Initial biases",
        section="5",
        paper="1 in conv2, conv4, conv5, fc6 and fc7; 0 in conv1, conv3 and fc8.",
        program=_SAME,
        caffe="`bvlc_alexnet` 0.1 instead of 1; `bvlc_reference_caffenet` as the paper.",
        pytorch="Uniform, by the number of inputs.",
        choice="The paper's; 0 everywhere in the recipe `small`.",
        test="tests/network/test_initialization.py::test_paper_start",
    ),
    Deviation(
        topic="When the learning rate drops",
        section="5",
        paper="When the validation error stops improving, by hand, three times.",
        program="At epochs 23, 51 and 78 of 93 in the run behind table 1.",
        caffe="Every 100,000 of 450,000 steps.",
        pytorch="Every 30 epochs.",
        choice="After `schedule.patience` epochs without a lower top-1 error on the validation "
        "split, at most three times.",
        test="tests/training/test_schedule.py::test_drops_after_patience_at_most_three_times",
    ),
    Deviation(
        topic="conv1 at the end of training",
        section="5",
        paper=_SILENT,
        program="Lowers the learning rate of conv1 at epoch 68 and freezes it at 72.",
        caffe="As the other layers.",
        pytorch="As the other layers.",
        choice="As the other layers.",
        test="tests/training/test_optimizer.py::test_every_layer_has_the_same_rate",
    ),
    Deviation(
        topic="The last batch of an epoch",
        section="5",
        paper=_SILENT,
        program=_UNKNOWN,
        caffe="Batches run on over the end of the training set.",
        pytorch="A smaller last batch, unless told otherwise.",
        choice="Batches run on over the end of an epoch: every batch is full, and each image is "
        "used exactly once in each epoch.",
        test="tests/loading/test_order.py::test_each_image_once_in_each_epoch",
    ),
    Deviation(
        topic="What ten views average",
        section="4.1",
        paper="The predictions of the softmax layer.",
        program="The softmax outputs.",
        caffe="The softmax outputs.",
        pytorch="One view.",
        choice="Probabilities, not logits.",
        test="tests/evaluation/test_predictions.py::test_probabilities_are_averaged_not_logits",
    ),
)
