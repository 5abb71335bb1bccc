import math

import pytest
import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from mosaicfusion.detectors.models.centernet import (
    HALF_DIAGONALS_PX,
    SIDES,
    STRIDES_PX,
    CenterNetProposals,
    assign,
    grid,
    heat_loss,
)

# An image of 64 x 128 (H x W): cells of 8, 16, 32, 64 and 128 px
MAPS_HW = [(8, 16), (4, 8), (2, 4), (1, 2), (1, 1)]
PLACES = grid(MAPS_HW, STRIDES_PX)
RANGES = torch.tensor(HALF_DIAGONALS_PX)


def targets(*boxes: tuple[float, float, float, float]):
    return assign(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), PLACES, RANGES)


def test_the_cells_of_a_level_tile_the_image_row_by_row() -> None:
    places = grid([(2, 3), (1, 2)], (8, 16))
    assert places.cells.tolist()[:4] == [[0, 0, 8, 8], [8, 0, 16, 8], [16, 0, 24, 8], [0, 8, 8, 16]]
    assert places.cells.tolist()[6:] == [[0, 0, 16, 16], [16, 0, 32, 16]]
    assert places.level.tolist() == [0] * 6 + [1] * 2
    assert places.sizes == [6, 2]


def test_the_cell_of_the_centre_is_1_on_every_level_and_positive_on_the_levels_of_its_size() -> None:
    found = targets((10, 20, 34, 44))  # centre (22, 32), half a diagonal 17 px: P3 alone
    fine = found.heat[:128].reshape(8, 16)
    assert fine[4, 2] == 1
    assert (found.heat == 1).sum() == len(STRIDES_PX)
    assert PLACES.cells[found.centres].tolist() == [[16, 32, 24, 40]]


@pytest.mark.parametrize(
    ("side", "levels"), [(40, [0]), (100, [0, 1]), (180, [1]), (200, [1, 2]), (600, [3]), (800, [3, 4]), (2000, [4])]
)
def test_half_the_diagonal_decides_the_levels(side: float, levels: list[int]) -> None:
    found = targets((64 - side / 2, 32 - side / 2, 64 + side / 2, 32 + side / 2))
    assert PLACES.level[found.centres].tolist() == levels


def test_the_gaussian_is_as_wide_as_the_box_is_large() -> None:
    found = targets((30, 2, 90, 62))  # centre (60, 32)
    delta = 0.2 / 1.8
    x, y = 60 - 44, 32 - 28  # to the middle of the cell in column 5, row 3
    expected = math.exp(-(x**2 + y**2) / (2 * delta**2 * 60 * 60))
    assert found.heat[:128].reshape(8, 16)[3, 5].item() == pytest.approx(expected)


def test_the_gaussian_of_a_small_box_has_a_radius_of_4_pixels() -> None:
    found = targets((18, 26, 22, 30))  # centre (20, 28), the middle of a cell
    assert found.heat[:128].reshape(8, 16)[3, 3].item() == pytest.approx(math.exp(-(8**2) / 4**2))


def test_a_cell_near_two_objects_has_the_heat_of_the_nearer() -> None:
    one, two = (8.0, 8.0, 40.0, 40.0), (40.0, 24.0, 72.0, 56.0)
    assert torch.equal(targets(one, two).heat, torch.maximum(targets(one).heat, targets(two).heat))


def test_the_nine_cells_about_a_centre_learn_its_box() -> None:
    found = targets((10, 20, 34, 46))
    assert PLACES.cells[found.learners][:, :2].tolist() == [[x, y] for y in (24, 32, 40) for x in (8, 16, 24)]
    assert found.boxes.tolist() == [[10, 20, 34, 46]] * 9


def test_cells_whose_middle_is_outside_of_the_box_learn_nothing() -> None:
    found = targets((19, 20, 24, 46))  # of 8 px columns, only the middle at x = 20 is within
    assert PLACES.cells[found.learners][:, :2].tolist() == [[16, 24], [16, 32], [16, 40]]


def test_between_two_centres_a_cell_learns_the_nearer_box_in_radii() -> None:
    small, large = (16.0, 16.0, 32.0, 32.0), (8.0, 0.0, 64.0, 56.0)  # centres (24, 24) and (36, 28)
    found = targets(small, large)
    cells = map(tuple, PLACES.cells[found.learners].tolist())
    learned = dict(zip(cells, found.boxes.tolist(), strict=True))
    assert learned[24.0, 24.0, 32.0, 32.0] == list(small)  # the centre cell of the small one, beside that of the large
    assert learned[32.0, 24.0, 40.0, 32.0] == list(large)


def test_an_image_without_objects_has_no_heat() -> None:
    found = targets()
    assert found.heat.tolist() == [0] * len(PLACES.cells)
    assert (len(found.centres), len(found.learners), found.boxes.shape) == (0, 0, (0, 4))


def test_decoding_encoded_boxes_gives_the_boxes() -> None:
    found = targets((10, 20, 34, 44), (40, 4, 120, 60), (0, 0, 128, 64))
    cells = PLACES.cells[found.learners]
    sides = SIDES.encode(cells, found.boxes)
    assert sides.min() > 0
    torch.testing.assert_close(SIDES.decode(sides, cells), found.boxes)


def test_the_focal_loss_equals_the_sum_done_by_hand() -> None:
    probability = torch.tensor([0.8, 0.3, 0.6, 0.1])
    positive, negative = heat_loss(probability.logit(), torch.tensor([1.0, 0.5, 0.0, 0.0]), torch.tensor([0]))
    assert positive.item() == pytest.approx(0.25 * 0.2**2 * -math.log(0.8))
    by_hand = 0.5**4 * 0.3**2 * -math.log(0.7) + 0.6**2 * -math.log(0.4) + 0.1**2 * -math.log(0.9)
    assert negative.item() == pytest.approx(0.75 * by_hand)


def test_probabilities_are_clamped_and_sure_negatives_left_to_federation() -> None:
    logits = torch.tensor([-50.0, 50.0])
    positive, negative = heat_loss(logits, torch.tensor([1.0, 0.0]), torch.tensor([0]))
    assert positive.item() == pytest.approx(0.25 * (1 - 1e-4) ** 2 * -math.log(1e-4), rel=1e-4)
    assert negative.item() == 0
    _, counted = heat_loss(logits, torch.tensor([1.0, 0.0]), torch.tensor([0]), ignore_above=1.0)
    assert counted.item() == pytest.approx(0.75 * (1 - 1e-4) ** 2 * -math.log(1e-4), rel=1e-3)


def features(images: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {str(level): torch.randn(images, 64, *hw) for level, hw in enumerate(MAPS_HW)}


def batch(*boxes: list[list[float]]) -> tuple[ImageList, list[dict[str, torch.Tensor]]]:
    images = ImageList(torch.zeros(len(boxes), 3, 64, 128), [(64, 120)] * len(boxes))
    return images, [{"boxes": torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)} for rows in boxes]


@pytest.fixture
def proposer() -> CenterNetProposals:
    torch.manual_seed(0)
    return CenterNetProposals(64, convs=1)


def test_losses_of_a_batch_are_means_over_its_centres_and_learners(proposer: CenterNetProposals) -> None:
    images, true = batch([[10, 20, 34, 44]], [[40, 4, 120, 60], [10, 20, 34, 44]])
    _, losses = proposer(images, features(), true)
    _, logits = proposer.head(list(features().values()))
    each = [assign(target["boxes"], PLACES, RANGES) for target in true]
    sums = [heat_loss(row[:, 0], image.heat, image.centres) for row, image in zip(logits, each, strict=True)]
    total = 0.5 * sum(positive + negative for positive, negative in sums)
    assert losses["loss_heat"].item() == pytest.approx(total.item() / sum(len(image.centres) for image in each))
    assert 0 < losses["loss_proposal_box"].item() < 2  # GIoU loss lies between 0 and 2
    assert all(value.isfinite() for value in losses.values())


def test_every_parameter_has_a_gradient(proposer: CenterNetProposals) -> None:
    large = [[64 - s, 32 - s, 64 + s, 32 + s] for s in (10.0, 80.0, 160.0, 320.0, 640.0)]  # one of each level
    images, true = batch(large, [])
    sum(proposer(images, features(), true)[1].values()).backward()
    for name, parameter in proposer.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert (proposer.scale.grad != 0).all()


def test_images_without_objects_train(proposer: CenterNetProposals) -> None:
    images, true = batch([], [])
    proposals, losses = proposer(images, features(), true)
    assert losses["loss_heat"].item() > 0
    assert losses["loss_proposal_box"].item() == 0
    sum(losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in proposer.parameters())
    assert len(proposals) == 2


def test_proposals_lie_in_the_image_best_first_and_limited_in_number(proposer: CenterNetProposals) -> None:
    proposer.eval()
    proposer.top_k_test = (20, 12)
    proposals, losses = proposer(batch([], [])[0], features())
    assert losses == {}
    for found in proposals:
        assert 0 < len(found["boxes"]) == len(found["scores"]) <= 12
        assert torch.equal(found["scores"], found["scores"].sort(descending=True).values)
        assert (
            (found["boxes"].amin() >= 0) and (found["boxes"][:, 2] <= 120).all() and (found["boxes"][:, 3] <= 64).all()
        )
        assert box_iou(found["boxes"], found["boxes"]).fill_diagonal_(0).amax() <= 0.9


def test_training_without_targets_is_refused(proposer: CenterNetProposals) -> None:
    with pytest.raises(ValueError, match="targets"):
        proposer(batch([])[0], features(1))


def test_mixed_precision_leaves_boxes_and_losses_in_float32(proposer: CenterNetProposals) -> None:
    images, true = batch([[10, 20, 34, 44]], [])
    with torch.autocast("cpu", torch.bfloat16):
        found, losses = proposer(images, features(), true)
    assert {value.dtype for value in losses.values()} == {found[0]["boxes"].dtype} == {torch.float32}
