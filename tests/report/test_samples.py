from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from chipwright.chips.chipset import IGNORE, ClassInfo
from chipwright.chips.display import Panel
from chipwright.report.record import RunRecord
from chipwright.report.samples import MOST_LINES, blend, draw_frame, draw_mask, legend_entries, render, samples_picture

Maker = Callable[..., RunRecord]
GREY = np.full((40, 40, 3), 100, np.uint8)
RED, BLUE = (250, 0, 0), (0, 0, 250)
CLASSES = (ClassInfo(value=1, name="Roof", color=RED), ClassInfo(value=2, name="Pool", color=BLUE))


def drawn(samples: list[list[Panel]]) -> np.ndarray:
    png, _ = samples_picture(samples, CLASSES)
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def near(picture: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - color).max(-1) <= 3).sum())


def test_classes_lie_half_transparent_and_outlined_over_the_image() -> None:
    classes = np.zeros((40, 40), np.int16)
    classes[:, 20:] = 1
    picture = blend(GREY, classes, [RED, BLUE])
    assert picture[5, 5].tolist() == [175, 50, 50]
    assert picture[5, 30].tolist() == [50, 50, 175]
    assert picture[5, 19].tolist() == list(RED)


def test_ignored_pixels_show_the_image() -> None:
    classes = np.full((40, 40), IGNORE, np.int16)
    assert (blend(GREY, classes, [RED]) == GREY).all()


def test_overlay_colour_is_in_the_picture() -> None:
    panel = Panel("Truth", GREY, classes=np.zeros((40, 40), np.int16), palette=[RED])
    assert near(drawn([[Panel("Image", GREY), panel]]), (175, 50, 50)) > 10_000


def test_thin_lines_survive_the_reduction_of_a_large_chip() -> None:
    classes = np.full((1600, 1600), IGNORE, np.int16)
    classes[:, 801] = 0
    picture, scale = render(Panel("", np.full((1600, 1600, 3), 100, np.uint8), classes=classes, palette=[RED]), 400, 400)
    assert scale == 0.25
    assert picture[200, :, 0].max() > 125


@pytest.mark.parametrize("shape", [(50, 100), (100, 50), (16, 16), (700, 300)])
def test_panels_keep_their_shape(shape: tuple[int, int]) -> None:
    picture, scale = render(Panel("", np.zeros((*shape, 3), np.uint8)), 300, 300)
    assert max(picture.shape[:2]) <= 300
    assert picture.shape[0] / shape[0] == pytest.approx(scale, rel=0.02)


def test_boxes_are_frames_in_their_colour() -> None:
    picture = GREY.copy()
    draw_frame(picture, np.array([10.0, 12, 30, 25]), RED, 2)
    assert picture[12, 10:30].tolist() == [list(RED)] * 20
    assert picture[24, 15].tolist() == list(RED)
    assert picture[18, 20].tolist() == [100, 100, 100]


@pytest.mark.parametrize("box", [(-20, -20, 70, 70), (50, 50, 60, 60), (np.nan, 0, 5, 5), (39, 39, 40, 40)])
def test_boxes_beyond_the_image_are_clipped(box: tuple[float, ...]) -> None:
    picture = GREY.copy()
    draw_frame(picture, np.array(box, float), RED, 2)
    assert picture.shape == GREY.shape


def test_box_texts_are_drawn_on_their_colour() -> None:
    box = np.array([[5, 15, 35, 35]], np.float32)
    without = drawn([[Panel("Truth", GREY, boxes=box, box_colors=[BLUE])]])
    labelled = drawn([[Panel("Truth", GREY, boxes=box, box_colors=[BLUE], box_texts=["Pool 93%"])]])
    assert (without != labelled).any(-1).sum() > 300


def test_a_crowd_of_boxes_is_drawn_without_texts() -> None:
    boxes = np.tile(np.array([[5, 15, 35, 35]], np.float32), (400, 1))
    crowd = [[Panel("Truth", GREY, boxes=boxes, box_colors=[BLUE] * 400, box_texts=["Pool"] * 400)]]
    mute = [[Panel("Truth", GREY, boxes=boxes, box_colors=[BLUE] * 400)]]
    assert (drawn(crowd) == drawn(mute)).all()


def disc(size: int = 40, middle: float = 20, radius: float = 12) -> np.ndarray:
    middles = np.arange(size) + 0.5
    return (middles - middle) ** 2 + (middles[:, None] - middle) ** 2 <= radius**2


@pytest.mark.parametrize("scale", [0.5, 1, 2, 3.3])
def test_masks_are_tinted_and_outlined_at_any_scale(scale: float) -> None:
    side = round(40 * scale)
    picture = np.full((side, side, 3), 100, np.uint8)
    draw_mask(picture, disc(), RED)
    middles = (np.arange(side) + 0.5) / scale
    away = np.hypot(middles - 20, middles[:, None] - 20)
    assert (picture[away > 12 + 1.5 / scale] == 100).all()
    assert (picture[away < 12 - 3 / scale] == (138, 75, 75)).all()
    outline = (picture == RED).all(-1)
    assert outline.sum() >= 0.9 * 2 * np.pi * 12 * scale * 2 / np.pi  # a ring, in the cells that it takes
    assert (np.abs(away[outline] - 12) <= 0.7 + 1 / scale).all()  # a mask of pixels is no circle


def test_the_outline_of_a_mask_at_the_edge_is_closed() -> None:
    picture = GREY.copy()
    draw_mask(picture, disc(middle=0), RED)
    assert (picture[0, :11] == RED).all() and (picture[:11, 0] == RED).all()
    assert picture[5, 5].tolist() == [138, 75, 75]


def test_an_empty_mask_is_not_drawn() -> None:
    picture = GREY.copy()
    draw_mask(picture, np.zeros((40, 40), bool), RED)
    assert (picture == 100).all()


def test_masks_are_in_the_picture_and_in_the_legend() -> None:
    masks = Panel("Truth", GREY, masks=disc()[None], mask_colors=[BLUE])
    assert near(drawn([[masks, Panel("Prediction", GREY)]]), BLUE) > 200
    assert legend_entries([masks], CLASSES) == [("Pool", BLUE)]
    assert len(samples_picture([[masks, masks]] * 5)[1]) == 5


def test_right_and_wrong_differ_in_colour() -> None:
    right = drawn([[Panel("Chip", GREY, text="Roof", good=True)]])
    wrong = drawn([[Panel("Chip", GREY, text="Roof", good=False)]])
    assert near(right, (26, 127, 55)) > 5 and near(right, (192, 38, 45)) == 0
    assert near(wrong, (192, 38, 45)) > 5 and near(wrong, (26, 127, 55)) == 0


def test_legend_lists_the_classes_that_occur() -> None:
    classes = np.zeros((40, 40), np.int16)
    mask = Panel("Truth", GREY, classes=classes, palette=[RED, BLUE])
    assert legend_entries([mask], CLASSES) == [("Roof", RED)]
    boxed = Panel("Truth", GREY, boxes=np.zeros((1, 4), np.float32), box_colors=[BLUE])
    assert legend_entries([mask, boxed], CLASSES) == [("Roof", RED), ("Pool", BLUE)]
    assert legend_entries([Panel("Image", GREY)], CLASSES) == []


def test_picture_is_no_wider_than_a_page_and_has_at_most_eight_lines() -> None:
    samples = [[Panel(str(index), np.zeros((600, 600, 3), np.uint8)) for index in range(3)]] * 30
    png, edges = samples_picture(samples)
    image = Image.open(BytesIO(png))
    assert image.width <= 1240
    assert len(edges) == MOST_LINES and edges[-1] == image.height


def test_single_panels_are_set_side_by_side() -> None:
    assert len(samples_picture([[Panel("Chip", GREY)]] * 8)[1]) == 2
    assert len(samples_picture([[Panel("Before", GREY), Panel("After", GREY)]] * 8)[1]) == 4


def test_what_is_drawn_over_pictures_gets_a_line_of_its_own() -> None:
    box = np.array([[5, 15, 35, 35]], np.float32)
    assert len(samples_picture([[Panel("Truth", GREY, boxes=box), Panel("Prediction", GREY)]] * 5)[1]) == 5


def test_a_long_caption_is_wrapped_below_its_picture() -> None:
    short = drawn([[Panel("Chip", GREY, text="one line")]])
    long = drawn([[Panel("Chip", GREY, text="many words that tell what there is to be seen " * 20)]])
    assert short.shape[0] < long.shape[0] < short.shape[0] + 100


def test_lines_of_a_text_are_drawn_one_below_the_other() -> None:
    one = drawn([[Panel("Chip", GREY, text="True: a road Predicted: a pool")]])
    two = drawn([[Panel("Chip", GREY, text="True: a road\nPredicted: a pool")]])
    assert two.shape[0] > one.shape[0]


def test_no_samples_no_picture() -> None:
    assert samples_picture([]) is None
    assert samples_picture([[]]) is None
