"""Every number the paper states, by section.

Krizhevsky, Sutskever and Hinton, *ImageNet Classification with Deep Convolutional Neural Networks*,
NIPS 2012. Other code quotes these names; no number of the paper is written anywhere else. Error
rates are in percent. What the paper leaves open is in `alexnet.ledger`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Result(NamedTuple):
    """Error in % of one system on one split; None where the paper prints a dash."""

    system: str
    top1: float | None
    top5: float | None


# --- Section 2: the dataset -----------------------------------------------------------------------


class Release(NamedTuple):
    """One release of labelled images, as the paper counts it."""

    name: str
    classes: int
    train: int
    validation: int = 0
    test: int = 0


# The one release whose test labels are public.
ILSVRC_2010 = Release("ILSVRC-2010", 1000, 1_200_000, 50_000, 150_000)
ILSVRC_2012 = Release("ILSVRC-2012", 1000, 1_200_000, 50_000, 150_000)
FALL_2009 = Release("ImageNet Fall 2009", 10_184, 8_900_000)  # half trains, half tests
FALL_2011 = Release("ImageNet Fall 2011", 22_000, 15_000_000)  # for pre-training, section 6
FALL_2009_TRAIN_SHARE = 0.5
# The same, counted in what is distributed: the paper rounds.
ILSVRC_2010_COUNTED = Release("ILSVRC-2010", 1000, 1_261_406, 50_000, 150_000)
FALL_2011_COUNTED = Release("ImageNet Fall 2011", 21_841, 14_197_122)
IMAGES_OF_A_CLASS = 1000  # of ILSVRC, "roughly"
CIFAR_10 = Release("CIFAR-10", 10, 50_000, test=10_000)
CIFAR_10_SIDE = 32  # pixels

CLASSES = 1000
SIDE = 256  # pixels: shorter side rescaled to this, then the central square
CHANNELS = 3  # red, green, blue; raw values 0-255 less the mean image
LARGEST_VALUE = 255

# --- Section 3: the architecture ------------------------------------------------------------------

WEIGHT_DEVIATION = 0.01  # of the first weights, in every layer (section 5)

Sees = Literal["image", "own column", "both columns"]
# What may follow a layer's sums, in this or another convention: "norm within" is within each map.
Follower = Literal[
    "relu", "tanh", "norm", "norm within", "pool", "average pool", "dropout", "softmax"
]


class Layer(NamedTuple):
    """One layer of a network (section 3.5). Fully connected layers have size and stride 1."""

    name: str
    kernels: int
    size: int  # pixels, square
    stride: int
    padding: tuple[int, int]  # zeros (before, after): (left and top, right and bottom)
    sees: Sees
    followed_by: tuple[Follower, ...]
    bias: float  # the first value of every bias (section 5)
    output: int  # side of the square output before pooling; 1 for fully connected layers
    deviation: float = WEIGHT_DEVIATION  # of the first weights (section 5)


CROP = 224  # pixels: the network's input
COLUMNS = 2  # section 3.2
# fmt: off
LAYERS = (
    Layer("conv1",   96, 11, 4, (0, 3), "image",        ("relu", "norm", "pool"), 0, 55),
    Layer("conv2",  256,  5, 1, (2, 2), "own column",   ("relu", "norm", "pool"), 1, 27),
    Layer("conv3",  384,  3, 1, (1, 1), "both columns", ("relu",),                0, 13),
    Layer("conv4",  384,  3, 1, (1, 1), "own column",   ("relu",),                1, 13),
    Layer("conv5",  256,  3, 1, (1, 1), "own column",   ("relu", "pool"),         1, 13),
    Layer("fc6",   4096,  1, 1, (0, 0), "both columns", ("relu", "dropout"),      1,  1),
    Layer("fc7",   4096,  1, 1, (0, 0), "both columns", ("relu", "dropout"),      1,  1),
    Layer("fc8",   1000,  1, 1, (0, 0), "both columns", ("softmax",),             0,  1),
)
# fmt: on
POOLED_SIDES = {"conv1": 27, "conv2": 13, "conv5": 6}
LEARNED_LAYERS = {"convolutional": 5, "fully connected": 3}
MAPS_SEEN = {"conv1": 3, "conv2": 48, "conv3": 256, "conv4": 192, "conv5": 192}  # by one kernel

INPUT_NUMBERS = 150_528  # "the network's input is 150,528-dimensional"
NEURONS_PRINTED = (253_440, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000)  # conv1 is a slip
NEURONS_CONV1 = 290_400  # 55 x 55 x 96
NEURONS = 659_272  # the printed sum with the slip corrected
NEURONS_CLAIMED = 650_000
PARAMETERS = {
    "conv1": 34_944,
    "conv2": 307_456,
    "conv3": 885_120,
    "conv4": 663_936,
    "conv5": 442_624,
    "fc6": 37_752_832,
    "fc7": 16_781_312,
    "fc8": 4_097_000,
}
PARAMETERS_TOTAL = 60_965_224
PARAMETERS_CLAIMED = 60_000_000
MULTIPLY_ADDS_MILLIONS = {  # of one forward pass of one image
    "conv1": 105.4,
    "conv2": 223.9,
    "conv3": 149.5,
    "conv4": 112.1,
    "conv5": 74.8,
    "fc6": 37.7,
    "fc7": 16.8,
    "fc8": 4.1,
}
MULTIPLY_ADDS_TOTAL_MILLIONS = 724
CONV_SHARE_CLAIMED = 0.01  # "each convolutional layer contains no more than 1 % of the parameters"
FC6_SHARE_CLAIMED = 0.5  # more than: "most of the net's parameters" (section 3.2, footnote)
ONE_COLUMN_SIZE_CLAIMED = 1.0  # of both columns' parameters, "approximately" (same footnote)
GPU_MEMORY_GB = 3  # of one GTX 580: less than training the network takes (section 3.2)


class Normalization(NamedTuple):
    """b = a / (k + alpha * sum of squares over n neighbouring maps) ** beta (section 3.3)."""

    k: float
    n: int
    alpha: float
    beta: float


class Pooling(NamedTuple):
    """A window of size x size pixels every `stride` pixels (section 3.4)."""

    size: int
    stride: int


LRN = Normalization(k=2.0, n=5, alpha=1e-4, beta=0.75)
POOL = Pooling(size=3, stride=2)
POOL_WITHOUT_OVERLAP = Pooling(size=2, stride=2)

RELU_TARGET = 25.0  # % training error on CIFAR-10 that figure 1 races to (section 3.1)
RELU_SPEEDUP = 6.0  # times fewer epochs than tanh


class Effect(NamedTuple):
    """How many points of error a part of the system takes away; None where the paper is silent."""

    section: str
    top1: float
    top5: float | None


EFFECTS = {
    "two columns": Effect("3.2", 1.7, 1.2),  # against one with half the kernels
    "response normalization": Effect("3.3", 1.4, 1.2),
    "overlapping pooling": Effect("3.4", 0.4, 0.3),
    "colour": Effect("4.1", 1.0, None),  # "over 1 %"
    "a middle layer": Effect("7", 2.0, None),  # "about 2 %" for any one of them
}
CIFAR_10_RESULTS = (  # section 3.3
    Result("four-layer CNN without normalization", 13.0, None),
    Result("four-layer CNN with normalization", 11.0, None),
)

# --- Section 4: reducing overfitting --------------------------------------------------------------

BITS_OF_A_LABEL = 10  # "each training example impose[s] 10 bits of constraint"
AUGMENTATION_FACTOR = 2048  # 32 x 32 offsets x 2 reflections
VIEWS = 10  # four corners and the centre, and their reflections; softmax outputs averaged
COLOUR_DEVIATION = 0.1  # standard deviation of alpha_1, alpha_2, alpha_3
IMAGENET_COLOUR_DEVIATIONS = (121.8, 37.1, 19.7)  # square roots of the eigenvalues, 0-255 scale
DROPOUT = 0.5  # probability in fc6 and fc7; at test time outputs are multiplied by 1 - DROPOUT
DROPOUT_ITERATIONS = 2.0  # times as many until convergence, "roughly"

# --- Section 5: details of learning ---------------------------------------------------------------

BATCH = 128
MOMENTUM = 0.9
WEIGHT_DECAY = 0.0005
LEARNING_RATE = 0.01
RATE_DIVISOR = 10.0
RATE_DROPS = 3
EPOCHS = 90
TRAINING_DAYS = (5, 6)  # on two GTX 580 with 3 GB

# The run behind table 1, from the original program's log: the paper gives no epochs.
PROGRAM_DROPS = (23, 51, 78)
PROGRAM_EPOCHS = 93
PROGRAM_CONV1_SLOWED, PROGRAM_CONV1_FROZEN = 68, 72
PROGRAM_DEVIATION_3X3 = 0.03
PROGRAM_BIAS_RATE = 2.0  # times the weights' rate
PROGRAM_COLOUR_DIVISOR = 1.1
PROGRAM_CROP_GROUP = 32  # images that share a crop

# --- Section 6: results ---------------------------------------------------------------------------


class Row2012(NamedTuple):
    """One row of table 2; a star marks pre-training on the Fall 2011 release."""

    system: str
    top1_validation: float | None
    top5_validation: float | None
    top5_test: float | None


TABLE_1 = (  # ILSVRC-2010 test, ten views
    Result("sparse coding", 47.1, 28.2),
    Result("SIFT + FVs", 45.7, 25.7),
    Result("CNN", 37.5, 17.0),
)
ONE_VIEW_2010 = Result("CNN, centre patch only", 39.0, 18.3)  # section 4.1
TABLE_2 = (  # ILSVRC-2012
    Row2012("SIFT + FVs", None, None, 26.2),
    Row2012("1 CNN", 40.7, 18.2, None),
    Row2012("5 CNNs", 38.1, 16.4, 16.4),
    Row2012("1 CNN*", 39.0, 16.6, None),
    Row2012("7 CNNs*", 36.7, 15.4, 15.3),
)
VALIDATION_AND_TEST = 0.1  # points: "they do not differ by more than"
FALL_2009_RESULT = Result("CNN with a sixth convolutional layer", 67.4, 40.9)
FALL_2009_BEFORE = Result("best published before", 78.1, 60.9)
PROGRAM_ABLATIONS = (  # from the original program's logs; the first on ILSVRC-2010, the rest 2012
    Result("one column, half the kernels", 39.2, 18.2),
    Result("no response normalization", 42.0, 19.4),
    Result("pooling without overlap", 41.1, 18.5),
    Result("no communication at conv3", 41.8, 19.3),
)


class Removal(NamedTuple):
    """A row of table 3 of Zeiler and Fergus (2014): ILSVRC-2012, their copy of the network."""

    removed: str
    training: float  # top-1 error in %
    top1: float  # of the validation split, as the next
    top5: float


ZEILER_FERGUS = (
    Removal("nothing", 35.1, 40.5, 18.1),
    Removal("conv3 and conv4", 41.8, 45.4, 22.1),
    Removal("fc7", 27.4, 40.0, 18.4),
    Removal("fc6 and fc7", 27.4, 44.8, 22.4),
    Removal("conv3, conv4, fc6 and fc7", 71.1, 71.3, 50.1),
)

NEIGHBOURS = 6  # figure 4, right: nearest training images by Euclidean distance in fc7
TEST_IMAGES_WITH_LABELS, TEST_IMAGES_WITH_NEIGHBOURS = 8, 5  # figure 4, left and right
TOP = 5  # "the five labels considered most probable by the model"
