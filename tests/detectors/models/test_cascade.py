import math

import pytest
import torch
from torch import Tensor, nn

from mosaicfusion.detectors.models.cascade import STAGES, CascadeHeads, CascadeStage, match
from mosaicfusion.detectors.models.losses import SigmoidLoss

SIZES = [(64, 96), (64, 96)]
CLASSES = 3


def target(*rows: tuple[float, float, float, float, int], not_exhaustive: tuple[int, ...] = ()) -> dict[str, Tensor]:
    boxes = torch.tensor([row[:4] for row in rows], dtype=torch.float32).reshape(-1, 4)
    masks = torch.zeros(len(rows), 64, 96, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    labels = torch.tensor([row[4] for row in rows], dtype=torch.int64)
    return {"boxes": boxes, "labels": labels, "masks": masks, "not_exhaustive": torch.tensor(not_exhaustive).long()}


def boxes(*rows: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def proposals(*rows: tuple[float, float, float, float], score: float = 0.5) -> dict[str, Tensor]:
    return {"boxes": boxes(*rows), "scores": torch.full((len(rows),), score)}


def features(images: int = 2) -> dict[str, Tensor]:
    torch.manual_seed(0)
    sizes = [(8, 12), (4, 6), (2, 3), (1, 2), (1, 1)]
    return {name: torch.randn(images, 8, *hw) for name, hw in zip(("0", "1", "2", "p6", "p7"), sizes, strict=True)}


def make_heads(**settings: float) -> CascadeHeads:
    torch.manual_seed(0)
    classifiers = [nn.Linear(16, CLASSES) for _ in STAGES]
    return CascadeHeads(8, classifiers, SigmoidLoss(), features=16, mask_layers=(8,), **settings)


def make_stage(number: int = 0) -> CascadeStage:
    torch.manual_seed(0)
    return CascadeStage(8, 16, nn.Linear(16, CLASSES), *STAGES[number])


TRUE = target((8, 8, 40, 40, 2), (50, 10, 90, 50, 3))


def test_a_region_has_the_label_of_the_box_it_overlaps_most_if_it_overlaps_enough() -> None:
    regions = boxes((8, 8, 40, 40), (8, 8, 40, 30), (8, 8, 40, 24), (50, 10, 90, 46), (0, 50, 10, 60))
    labels, best = match(regions, TRUE, 0.6)
    assert labels.tolist() == [2, 2, 0, 3, 0]  # the IoU of the second is 0.69, of the third 0.5
    assert best[:4].tolist() == [0, 0, 0, 1]
    assert match(regions, TRUE, 0.7)[0].tolist() == [2, 0, 0, 3, 0]


def test_without_objects_every_region_is_background() -> None:
    assert match(boxes((8, 8, 40, 40)), target(), 0.6)[0].tolist() == [0]
    assert match(boxes(), TRUE, 0.6)[0].tolist() == []


@pytest.mark.parametrize("number", [0, 1, 2])
def test_refining_by_the_encoded_offsets_gives_the_true_boxes(number: int) -> None:
    stage = make_stage(number)
    regions = boxes((6, 10, 44, 38), (45, 8, 85, 60))
    offsets = stage.coder.encode_single(TRUE["boxes"], regions)
    torch.testing.assert_close(torch.cat(stage.refine([regions[:1], regions[1:]], offsets, SIZES)), TRUE["boxes"])


def test_refined_boxes_end_at_the_border() -> None:
    (refined,) = make_stage().refine([boxes((-5, 8, 200, 40))], torch.zeros(1, 4), SIZES[:1])
    assert refined.tolist() == [[0, 8, 96, 40]]


def test_each_stage_gives_a_third_of_its_gradient_to_the_features() -> None:
    stage = make_stage()
    pooled = torch.randn(2, 8, 7, 7, requires_grad=True)
    logits, _ = stage(pooled)
    whole = stage.classifier(stage.head(pooled))
    torch.testing.assert_close(logits, whole)
    (third,) = torch.autograd.grad(logits.sum(), pooled)
    (all_of_it,) = torch.autograd.grad(whole.sum(), pooled)
    torch.testing.assert_close(third * 3, all_of_it)


def test_losses_of_a_stage_equal_those_done_by_hand() -> None:
    heads = make_heads()
    regions = [boxes((8, 8, 40, 40), (0, 50, 10, 60)), boxes((0, 0, 9, 9))]
    targets = [target((8, 8, 36, 40, 2), not_exhaustive=(3,)), target()]
    logits = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    offsets = torch.zeros(3, 4)
    offsets[1:] = 7  # background: does not count
    class_loss, box_loss = heads._stage_losses(heads.stages[0], logits, offsets, regions, targets)

    def softplus(x: float) -> float:
        return math.log1p(math.exp(x))

    # Class 3 does not count in the first image: not all of its objects may be annotated.
    by_region = [softplus(0) + softplus(-2), 2 * softplus(0), softplus(1) + 2 * softplus(0)]
    assert class_loss.item() == pytest.approx(sum(by_region) / 3)
    # The true box is 2 px to the left, of 32, and 28 px wide: 10 * 2 / 32 and 5 * log(32 / 28).
    assert box_loss.item() == pytest.approx((10 * 2 / 32 + 5 * math.log(32 / 28)) / 3)


def test_true_boxes_join_the_regions_and_at_most_a_quarter_is_positive() -> None:
    heads = make_heads(rois_per_image=8)
    true = boxes((8, 8, 40, 40))
    background = boxes(*[(50.0, 8.0, 60.0 + step, 30.0) for step in range(20)])
    (sampled,) = heads._sample([{"boxes": background}], [target((8, 8, 40, 40, 1))])
    assert len(sampled) == 8
    assert (sampled == true).all(1).sum() == 1
    many = torch.cat([background, true + torch.arange(10)[:, None] / 10])
    (sampled,) = heads._sample([{"boxes": many}], [target((8, 8, 40, 40, 1))])
    assert (sampled[:, 0] < 20).sum() == 2


def test_every_parameter_has_a_gradient_and_empty_images_train() -> None:
    heads = make_heads()
    found = [proposals((8, 8, 40, 38), (50, 12, 88, 52), (0, 0, 20, 20)), proposals((0, 0, 30, 30))]
    _, losses = heads(features(), found, SIZES, [TRUE, target()])
    assert set(losses) == {"loss_mask"} | {f"loss_{kind}_{n}" for kind in ("class", "box") for n in (1, 2, 3)}
    sum(losses.values()).backward()
    for name, parameter in heads.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name

    heads.zero_grad()
    _, losses = heads(features(), [proposals(), proposals((0, 0, 30, 30))], SIZES, [target(), target()])
    assert all(value.isfinite() for value in losses.values())
    assert losses["loss_mask"] == losses["loss_box_1"] == 0
    sum(losses.values()).backward()
    for name, parameter in heads.named_parameters():  # all take part, as training on several GPUs wants it
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_uncertain_pixels_of_a_mask_do_not_count() -> None:
    def loss(target: dict[str, Tensor]) -> float:
        return make_heads()(features(1), [proposals()], SIZES[:1], [target])[1]["loss_mask"].item()

    uncertain = torch.zeros_like(TRUE["masks"])
    uncertain[:, 8:24] = 1
    changed = {**TRUE, "masks": TRUE["masks"] * (1 - uncertain), "uncertain": uncertain}
    assert loss({**TRUE, "uncertain": uncertain}) == pytest.approx(loss(changed), rel=1e-5)
    assert loss({**TRUE, "uncertain": uncertain}) < loss(TRUE)


def test_no_region_at_all_trains() -> None:
    _, losses = make_heads()(features(1), [proposals()], SIZES[:1], [target()])
    assert [value.item() for value in losses.values()] == [0] * 7


def test_the_score_is_the_root_of_object_times_class() -> None:
    heads = make_heads().eval()
    for stage, bias in zip(heads.stages, ([1.0, -9, -9], [2.0, -9, -9], [3.0, -9, -9]), strict=True):
        nn.init.zeros_(stage.classifier.weight)
        stage.classifier.bias.data = torch.tensor(bias)
        nn.init.zeros_(stage.box[2].weight)  # boxes stay where they are
    (found,), losses = heads(features(1), [proposals((8, 8, 40, 40), score=0.36)], SIZES[:1])
    mean = sum(1 / (1 + math.exp(-logit)) for logit in (1, 2, 3)) / 3
    assert losses == {}
    assert found["labels"].tolist() == [1]
    assert found["scores"].item() == pytest.approx(0.6 * math.sqrt(mean))
    assert found["boxes"].tolist() == [[8, 8, 40, 40]]
    assert found["masks"].shape == (1, 1, 28, 28)


def test_overlapping_boxes_are_one_detection_of_a_class() -> None:
    heads = make_heads(detections=3)
    regions = boxes((8, 8, 40, 40), (8, 8, 40, 38), (50, 10, 90, 50), (20, 20, 20, 30))
    scores = torch.tensor([[0.5, 0.7, 0.0], [0.6, 0.1, 0.0], [0.01, 0.0, 0.4], [1.0, 1.0, 1.0]])
    found = heads._select(regions, scores)
    assert list(zip(found["labels"].tolist(), found["scores"].tolist(), strict=True)) == [
        (2, pytest.approx(0.7)),
        (1, pytest.approx(0.6)),
        (3, pytest.approx(0.4)),
    ]
    assert found["boxes"].tolist() == [[8, 8, 40, 40], [8, 8, 40, 38], [50, 10, 90, 50]]
    heads.detections = 1
    assert len(heads._select(regions, scores)["labels"]) == 1


def test_images_without_proposals_have_no_detections() -> None:
    found, _ = make_heads().eval()(features(), [proposals(), proposals()], SIZES)
    assert [len(result["boxes"]) for result in found] == [0, 0]


def test_training_without_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="targets"):
        make_heads()(features(1), [proposals()], SIZES[:1])


def test_mixed_precision_leaves_results_and_losses_in_float32() -> None:
    heads = make_heads(score_threshold=0.0)
    found = [proposals((8, 8, 40, 38)), proposals((0, 0, 30, 30))]
    with torch.autocast("cpu", torch.bfloat16):
        _, losses = heads(features(), found, SIZES, [TRUE, target()])
        detections, _ = heads.eval()(features(), found, SIZES)
    assert {value.dtype for value in losses.values()} == {torch.float32}
    assert {detections[0][name].dtype for name in ("boxes", "scores", "masks")} == {torch.float32}
