"""The table of layers against the numbers that the paper prints."""

from alexnet import paper
from alexnet.conventions import NO_LINKS, ONE_COLUMN, PAPER
from alexnet.network.table import shapes, training_flops


def test_parameters_are_the_papers() -> None:
    found = {shape.layer.name: shape.parameters for shape in shapes()}
    assert found == paper.PARAMETERS
    assert sum(found.values()) == paper.PARAMETERS_TOTAL == 60_965_224


def test_neurons_are_the_printed_ones_but_for_conv1() -> None:
    found = [shape.neurons for shape in shapes()]
    assert found[0] == 55 * 55 * 96 != paper.NEURONS_PRINTED[0]
    assert found[1:] == list(paper.NEURONS_PRINTED[1:])
    assert sum(found) == paper.NEURONS == 659_272


def test_output_sizes_are_the_papers() -> None:
    for shape in shapes():
        assert shape.outputs == (shape.layer.kernels, shape.layer.output, shape.layer.output)
        assert shape.pooled[1] == paper.POOLED_SIDES.get(shape.layer.name, shape.outputs[1])


def test_multiply_adds_are_the_papers() -> None:
    for shape in shapes():
        millions = paper.MULTIPLY_ADDS_MILLIONS[shape.layer.name]
        assert round(shape.multiply_adds / 1e6, 1) == millions
    total = sum(shape.multiply_adds for shape in shapes())
    assert round(total / 1e6) == paper.MULTIPLY_ADDS_TOTAL_MILLIONS
    assert round(training_flops() / 1e9, 3) == 4.136  # 3 passes of 2 x 724.4 M, less conv1's third


def test_one_column_has_half_the_kernels_and_as_many_parameters() -> None:
    rows = shapes(ONE_COLUMN)
    assert [row.layer.kernels for row in rows] == [48, 128, 192, 192, 256, 4096, 4096, 1000]
    assert all(row.groups == 1 for row in rows)
    assert abs(sum(row.parameters for row in rows) / paper.PARAMETERS_TOTAL - 1) < 0.02
    convolutions = (48 * 363, 128 * 48 * 25, 192 * 128 * 9, 192 * 192 * 9, 256 * 192 * 9)
    assert [row.parameters for row in rows[:5]] == [
        weights + row.layer.kernels for weights, row in zip(convolutions, rows, strict=False)
    ]


def test_without_links_conv3_sees_half() -> None:
    rows, whole = shapes(NO_LINKS), shapes()
    assert rows[2].weights_per_kernel == whole[2].weights_per_kernel / 2 == 9 * 128
    assert [row.parameters for row in rows if row.layer.name != "conv3"] == [
        row.parameters for row in whole if row.layer.name != "conv3"
    ]


def test_normalization_follows_conv1_and_conv2_once() -> None:
    assert [layer.name for layer in paper.LAYERS if "norm" in layer.followed_by] == [
        "conv1",
        "conv2",
    ]
    assert all(layer.followed_by.count("norm") <= 1 for layer in paper.LAYERS)


def test_other_numbers_of_classes_change_the_output_layer_alone() -> None:
    ten = shapes(PAPER.with_classes(10))
    assert ten[-1].parameters == 10 * (4096 + 1)
    assert [shape.parameters for shape in ten[:-1]] == [s.parameters for s in shapes()[:-1]]
