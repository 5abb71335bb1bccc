from dataclasses import replace

import numpy as np
import pytest

from mosaicfusion.report.labels import fit_text, font, printable
from mosaicfusion.report.overlays import (
    InstanceOverlay,
    colour_map,
    instance_colour,
    instance_layer,
    mask_on_crop,
    readable_scale,
    render_instances,
)

BLACK = np.zeros((200, 300, 3), np.uint8)


def instance(k: int = 0, label: str = "teapot 0.50") -> InstanceOverlay:
    mask = np.zeros((200, 300), bool)
    mask[60:180, 40 + 150 * k : 120 + 150 * k] = True
    return InstanceOverlay((150 * k, 0, 150, 200), label, mask)


def test_a_mask_tints_its_inside_and_outlines_its_edge_in_its_colour() -> None:
    image = render_instances(BLACK, [instance()])
    np.testing.assert_allclose(image[120, 80], 0.25 * np.array(instance_colour(0)), atol=1)
    np.testing.assert_allclose(image[120, 40], instance_colour(0), atol=1)
    assert (image[120, 140] == 0).all()


def test_regions_have_different_colours_that_do_not_depend_on_the_others() -> None:
    image = render_instances(BLACK, [instance(0), instance(1)])
    np.testing.assert_allclose(image[120, 190], instance_colour(1), atol=1)
    assert len({instance_colour(k) for k in range(9)}) == 9


def test_a_rejected_region_is_hatched_and_labelled() -> None:
    rejected = InstanceOverlay((0, 0, 150, 200), "teapot: too small")
    layer = instance_layer((200, 300), [rejected])
    assert 0 < (layer[10:60, 10:140, 3] > 0).mean() < 1
    assert (layer[:, 160:, 3] == 0).all()
    assert tuple(layer[100, 75, :3].astype(int)) != (0, 0, 0), "the label stands in the middle"


def test_the_layer_over_the_image_gives_the_rendering() -> None:
    image = np.full((200, 300, 3), 90, np.uint8)
    layer = instance_layer((200, 300), [instance()]).astype(float)
    alpha = layer[..., 3:] / 255
    expected = image * (1 - alpha) + layer[..., :3] * alpha
    np.testing.assert_allclose(render_instances(image, [instance()]), expected, atol=1)


@pytest.mark.parametrize(
    ("hw", "scale"), [((256, 256), 2), ((128, 128), 4), ((64, 64), 4), ((512, 300), 1), ((768, 1024), 1)]
)
def test_small_canvases_are_enlarged(hw: tuple[int, int], scale: float) -> None:
    assert readable_scale(hw) == scale


def test_large_canvases_are_reduced_on_demand() -> None:
    assert readable_scale((640, 1280), 640) == 0.5
    image = render_instances(np.zeros((640, 1280, 3), np.uint8), [], 0.5)
    assert image.shape == (320, 640, 3)


def test_every_label_stays_in_its_region_and_covers_no_other() -> None:
    # Both masks begin at the top, so both labels would be in the same rows.
    masks = np.zeros((2, 120, 240), bool)
    masks[0, 0:120, 0:130] = masks[1, 0:120, 110:240] = True
    layers = [
        instance_layer(
            (120, 240), [InstanceOverlay((0, 0, 130, 120), "first", masks[0]), InstanceOverlay(box, label, masks[1])]
        )
        for box, label in (((110, 0, 130, 120), "second"), ((110, 0, 130, 120), "x" * 300))
    ]
    for layer in layers:
        first = np.flatnonzero((layer[2:20, :, :3] == instance_colour(0)).all(-1).sum(0) > 12)
        second = np.flatnonzero((layer[2:20, :, :3] == instance_colour(1)).all(-1).sum(0) > 12)
        assert first.max() < second.min()


def test_heat_maps_go_from_dark_to_bright() -> None:
    colours = colour_map(np.array([[0, 0.5, 1, 1.5]], np.float32))
    assert colours.shape == (1, 4, 3)
    assert colours.dtype == np.uint8
    brightness = colours.sum(-1)[0]
    assert brightness[0] < brightness[1] < brightness[2] == brightness[3]
    assert colours[0, 2, 0] > colours[0, 2, 2], "the bright end of inferno is yellow: red above blue, so RGB"


def test_a_mask_on_a_crop_fades_the_pixels_outside() -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    image = mask_on_crop(np.full((40, 40, 3), 100, np.uint8), mask, (255, 0, 0))
    assert tuple(image[20, 20]) == (100, 100, 100)
    assert image[2, 2].min() > 190
    assert tuple(image[20, 10]) == (255, 0, 0)


def test_text_is_cut_to_the_width() -> None:
    assert fit_text("teapot", 18, 500) == "teapot"
    cut = fit_text("a very long name of a teapot", 18, 100)
    assert cut.endswith("…")
    assert font(18).getlength(cut) <= 100


@pytest.mark.parametrize(
    ("text", "shown"), [("pi\u00f1ata", "pinata"), ("茶壶", "??"), ("tea\n pot", "tea pot"), ("", "")]
)
def test_text_the_font_lacks_is_replaced(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_others_hide_of_an_object_is_outlined_and_hatched() -> None:
    one = instance()
    hidden = np.zeros((200, 300), bool)
    hidden[60:180, 160:200] = True
    plain, layer = (instance_layer((200, 300), [each]) for each in (one, replace(one, hidden=hidden)))
    changed = (plain != layer).any(-1)
    assert changed[60:180, 160:200].mean() > 0.2
    assert not changed[:, :150].any()
    assert tuple(layer[120, 160, :3]) == instance_colour(0)
