"""Reading a set for a detector: valid and damaged, in this process and in workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.shapes_set import BAR, DISC, HW, SQUARE, annotation

from mosaicfusion.detectors.data.dataset import DetectionDataset
from mosaicfusion.errors import MosaicFusionError

Json = dict[str, Any]


def changed(tiny_lvis: Path, folder: Path, change: Callable[[Json], object]) -> Path:
    """Write a changed copy of the training set."""
    data = json.loads((tiny_lvis / "train.json").read_text())
    change(data)
    path = folder / "changed.json"
    path.write_text(json.dumps(data))
    return path


@pytest.fixture
def square(tmp_path: Path) -> Path:
    """A set of one image of 4 x 6 pixels with one square; fields are added by the tests."""
    Image.new("RGB", (6, 4), (10, 20, 30)).save(tmp_path / "a.png")
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    data = {
        "images": [{"id": 7, "file_name": "a.png", "height": 4, "width": 6}],
        "annotations": [annotation(1, 7, 2, mask)],
        "categories": [{"id": id_, "name": f"thing {id_}"} for id_ in (1, 2, 6)],
    }
    path = tmp_path / "set.json"
    path.write_text(json.dumps(data))
    return path


def edit(path: Path, change: Callable[[Json], object]) -> Path:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return path


def test_a_sample_is_in_torchvisions_form(square: Path) -> None:
    image, target = DetectionDataset(square, square.parent)[0]
    assert image.dtype == torch.uint8
    assert image.shape == (3, 4, 6)
    assert image[:, 0, 0].tolist() == [10, 20, 30]
    assert target["boxes"].tolist() == [[2, 1, 5, 3]]
    assert target["boxes"].dtype == torch.float32
    assert target["labels"].tolist() == [2]
    assert target["masks"].tolist() == [[[0] * 6, [0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 1, 0], [0] * 6]]
    assert target["image_id"] == 7
    assert target["image_hw"] == (4, 6)


@pytest.mark.parametrize(
    ("image", "instance", "uncertain"),
    [(True, None, True), (True, False, False), (False, None, False), (False, True, True)],
)
def test_edges_are_uncertain_where_instances_are_synthetic(
    image: bool, instance: bool | None, uncertain: bool, square: Path
) -> None:
    """On an image with pasted instances, each instance says whether it is synthetic."""

    def mark(data: Json) -> None:
        data["images"][0]["synthetic"] = image
        data["annotations"][0].update({} if instance is None else {"synthetic": instance})

    edit(square, mark)
    assert "uncertain" not in DetectionDataset(square, square.parent)[0][1]
    target = DetectionDataset(square, square.parent, ignore_edge=0.25)[0][1]
    edge = [[0, 0, 1, 1, 1, 0], [0, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0]]
    assert target["uncertain"].tolist() == [edge if uncertain else [[0] * 6] * 4]


def test_polygons_and_run_lengths_of_all_kinds_are_one_mask(square: Path) -> None:
    expected = DetectionDataset(square, square.parent)[0][1]["masks"]
    for segmentation in (
        [[2, 1, 5, 1, 5, 3, 2, 3]],
        [[2, 1, 4, 1, 4, 3, 2, 3], [4, 1, 5, 1, 5, 3, 4, 3]],  # parts are united
        {"size": [4, 6], "counts": [9, 2, 2, 2, 2, 2, 5]},
    ):
        edit(square, lambda data, new=segmentation: data["annotations"][0].update(segmentation=new))
        assert torch.equal(DetectionDataset(square, square.parent)[0][1]["masks"], expected)


def test_boxes_are_those_of_the_masks_over_the_whole_set(tiny_lvis: Path) -> None:
    dataset = DetectionDataset(tiny_lvis / "train.json", tiny_lvis / "images")
    stored = json.loads((tiny_lvis / "train.json").read_text())["annotations"]
    count = 0
    for index in range(len(dataset)):
        target = dataset[index][1]
        own = [a for a in stored if a["image_id"] == target["image_id"]]
        count += len(own)
        assert [[x, y, x + w, y + h] for x, y, w, h in (a["bbox"] for a in own)] == target["boxes"].tolist()
        assert [a["area"] for a in own] == target["masks"].sum((1, 2)).tolist()
        assert target["masks"].shape[1:] == HW
    assert count == len(stored)


def test_federated_lists_become_labels(tiny_lvis: Path, tmp_path: Path) -> None:
    def change(data: Json) -> None:
        data["images"][0]["neg_category_ids"] = [BAR]
        data["images"][0]["not_exhaustive_category_ids"] = [DISC]

    path = changed(tiny_lvis, tmp_path, change)
    target = DetectionDataset(path, tiny_lvis / "images")[0][1]
    assert target["negative"].tolist() == [3]
    assert target["not_exhaustive"].tolist() == [1]
    assert target["negative"].dtype == torch.int64


def test_a_coco_image_was_searched_for_all_categories(square: Path) -> None:
    assert DetectionDataset(square, square.parent)[0][1]["negative"].tolist() == [1, 3]


def test_crowds_are_left_out_and_make_their_category_uncertain(square: Path) -> None:
    edit(
        square,
        lambda data: data["annotations"].append({**data["annotations"][0], "id": 2, "category_id": 6, "iscrowd": 1}),
    )
    dataset = DetectionDataset(square, square.parent)
    target = dataset[0][1]
    assert target["labels"].tolist() == [2]
    assert target["negative"].tolist() == [1]
    assert target["not_exhaustive"].tolist() == [3]
    assert dataset.left_out == {"crowds": 1}


def test_masks_without_a_pixel_and_empty_annotations_are_left_out_with_a_count(square: Path) -> None:
    nothing = ([], None, {"size": [4, 6], "counts": [24]}, [[1, 1, 1, 1, 1, 1]])

    def change(data: Json) -> None:
        first = data["annotations"][0]
        data["annotations"] += [{**first, "id": 2 + k, "segmentation": s} for k, s in enumerate(nothing)]
        data["annotations"].append({"id": 9, "image_id": 7, "category_id": 1})

    dataset = DetectionDataset(edit(square, change), square.parent)
    assert dataset.left_out == {"objects without a mask": 5}
    assert dataset[0][1]["labels"].tolist() == [2]


def test_an_image_without_an_instance(square: Path) -> None:
    edit(square, lambda data: data.update(annotations=[]))
    target = DetectionDataset(square, square.parent)[0][1]
    assert target["boxes"].shape == (0, 4)
    assert target["masks"].shape == (0, 4, 6)
    with pytest.raises(MosaicFusionError, match="holds no image with an instance"):
        DetectionDataset(square, square.parent, skip_empty=True)


def test_empty_images_can_be_skipped(tiny_lvis: Path, tmp_path: Path) -> None:
    path = changed(tiny_lvis, tmp_path, lambda data: data.update(annotations=data["annotations"][:2]))
    dataset = DetectionDataset(path, tiny_lvis / "images", skip_empty=True)
    assert len(dataset) == 1
    assert dataset.left_out == {"images without an instance": 7}
    assert dataset[0][1]["image_id"] == 1
    assert dataset.image_counts.tolist() == [0, 1, 1, 0]


def test_image_counts_are_those_of_the_current_annotations(tiny_lvis: Path) -> None:
    dataset = DetectionDataset(tiny_lvis / "train.json", tiny_lvis / "images")
    assert dataset.image_counts.tolist() == [0, 8, 4, 2]
    assert [set(labels.tolist()) for labels in dataset.labels()][:3] == [{1, 2}, {1}, {1, 2, 3}]


def test_missing_images_are_named_and_may_be_skipped(tiny_lvis: Path, tmp_path: Path) -> None:
    def change(data: Json) -> None:
        for image in data["images"][:6]:
            image["file_name"] = image["coco_url"] = f"gone/{image['id']}.jpg"

    path = changed(tiny_lvis, tmp_path, change)
    with pytest.raises(MosaicFusionError) as error:
        DetectionDataset(path, tiny_lvis / "images")
    assert "6 of 8 images are not under" in str(error.value)
    assert '"gone/1.jpg", "gone/2.jpg"' in str(error.value)
    assert "and 1 more" in str(error.value)
    assert "--skip-missing" in str(error.value)
    dataset = DetectionDataset(path, tiny_lvis / "images", skip_missing=True)
    assert len(dataset) == 2
    assert dataset.left_out == {"images that are not on disk": 6}
    assert [dataset[index][1]["image_id"] for index in range(2)] == [7, 8]
    with pytest.raises(MosaicFusionError, match="8 of 8 images are not under"):  # not a set of nothing
        DetectionDataset(path, tmp_path, skip_missing=True)


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd", "C:\\a.png", "a\0.png", "\x1b[31m"])
def test_names_that_leave_the_folder_are_refused(square: Path, name: str) -> None:
    edit(square, lambda data: data["images"][0].update(file_name=name))
    with pytest.raises(MosaicFusionError, match="image 7: the file_name") as error:
        DetectionDataset(square, square.parent, skip_missing=True)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda data: data["annotations"][0].update(image_id=8), "annotation 1 is of image 8 and category 2"),
        (lambda data: data["annotations"][0].update(category_id=9), "annotation 1 is of image 7 and category 9"),
        (lambda data: data["annotations"][0].update(segmentation="x"), "annotation 1: the segmentation"),
        (lambda data: data["annotations"][0].update(segmentation=[[1, 2]]), "annotation 1: the segmentation"),
        (lambda data: data["annotations"][0].update(segmentation=[[0, 0, 1e9, 0, 1, 1]]), "far outside its"),
        (lambda data: data["annotations"][0]["segmentation"].update(size=[6, 4]), "size"),
        (lambda data: data["annotations"][0]["segmentation"].update(counts="22"), "run lengths are damaged"),
        (lambda data: data["images"][0].update(width=0), "images"),
        (lambda data: data["images"][0].pop("height"), "height"),
        (lambda data: data["images"].append(data["images"][0]), "2 images have the id 7"),
        (lambda data: data["images"][0].update(width=2**31), "width"),
        (lambda data: data["images"][0].update(width=2000), "image 7 is 4 x 2000 .*, too thin for a detector"),
        (lambda data: data["images"][0].update(file_name=300 * "x"), "1 of 1 images are not under"),
        (lambda data: data["annotations"][0].update(segmentation=[[[1, 1], [5, 1], [5, 3]]]), "not a list of numbers"),
        (lambda data: data["categories"][0].update(name="\x1b[2J"), "must be printable"),
        (lambda data: data["categories"].append({**data["categories"][0], "id": 99}), "2 categories have the name"),
        (lambda data: data.update(images=[], annotations=[]), "holds no image"),
    ],
)  # fmt: skip
def test_invalid_sets_are_refused_with_the_reason(square: Path, change: Callable[[Json], object], text: str) -> None:
    with pytest.raises(MosaicFusionError, match=text):
        DetectionDataset(edit(square, change), square.parent)


def test_a_corrupt_image_is_named(square: Path) -> None:
    dataset = DetectionDataset(square, square.parent)
    (square.parent / "a.png").write_bytes((square.parent / "a.png").read_bytes()[:45])
    with pytest.raises(MosaicFusionError, match=r"a\.png cannot be read as an image"):
        dataset[0]


def test_an_image_of_another_size_is_refused(square: Path) -> None:
    Image.new("RGB", (4, 6)).save(square.parent / "a.png")
    with pytest.raises(MosaicFusionError, match=r"a\.png has 4 x 6 pixels, its record says 6 x 4"):
        DetectionDataset(square, square.parent)


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_more_than_eight_bits_a_channel_are_refused(square: Path, mode: str) -> None:
    Image.new(mode, (6, 4)).save(square.parent / "a.tiff")
    edit(square, lambda data: data["images"][0].update(file_name="a.tiff"))
    with pytest.raises(MosaicFusionError, match="more than 8 bits per channel"):
        DetectionDataset(square, square.parent)


def test_pixels_are_turned_only_if_the_json_has_the_turned_size(square: Path) -> None:
    """The upper left pixel as stored is at the upper right, once EXIF's 6 is obeyed."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for size, place in (((6, 4), (0, 0)), ((4, 6), (0, 5))):
        image = Image.new("L", size)
        image.putpixel((0, 0), 255)
        image.save(square.parent / "a.png", exif=exif)
        pixels, _ = DetectionDataset(square)[0]
        assert pixels[0].nonzero().tolist() == [list(place)]


def test_grey_images_and_alpha_become_rgb(square: Path) -> None:
    for mode in ("L", "RGBA", "P", "CMYK"):
        name = "a.jpg" if mode == "CMYK" else "a.png"
        Image.new(mode, (6, 4)).save(square.parent / name)
        edit(square, lambda data, name=name: data["images"][0].update(file_name=name))
        assert DetectionDataset(square, square.parent)[0][0].shape == (3, 4, 6)


def test_progress_is_reported(tiny_lvis: Path) -> None:
    progress: list[tuple[int, int]] = []
    DetectionDataset(tiny_lvis / "train.json", tiny_lvis / "images", on_progress=lambda *args: progress.append(args))
    assert progress[0] == (0, 14)


def test_a_set_of_squares_only_in_negative_lists(tiny_lvis: Path, tmp_path: Path) -> None:
    """A list may name categories that the file does not have; they have no label."""
    path = changed(tiny_lvis, tmp_path, lambda data: data["images"][0].update(neg_category_ids=[SQUARE, 99]))
    assert DetectionDataset(path, tiny_lvis / "images")[0][1]["negative"].tolist() == [2]
