"""SSD: the single-shot detector of the reference, on grids of cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator

from chipwright.chips.chipset import ChipSet
from chipwright.errors import OptionError
from chipwright.models.base import Arguments, BackboneRule, Tiny
from chipwright.models.detector import BoxArguments, DetectorType, MostOverlap, boxes_of
from chipwright.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from chipwright.networks.weights import BackboneWeights

Factor = Annotated[float, Field(gt=0, le=16)]

SMALLEST_CELL = 2.0
"""Pixels; smaller cells would tell pixels apart, not objects."""

PICKED_ZOOM = 2.0
"""Anchors over cells where grids and zooms are picked: a box lies within half a cell of an anchor's centre, a quarter of its
own side, so that some anchor overlaps it by 0.4 or more."""


class SsdArguments(BoxArguments):
    """Arguments of SSD."""

    grids: list[Annotated[int, Field(ge=1, le=256)]] | None = Field(
        None,
        min_length=1,
        max_length=8,
        description="Cells along a side of each grid, one number or a list: 4 makes 4 x 4 cells over a chip. "
        "Default: picked from the sizes of the boxes.",
    )
    zooms: list[Factor] = Field(
        [1.0], min_length=1, max_length=9, description="Sizes of a cell's anchors, as factors of the cell's; all are used."
    )
    ratios: list[tuple[Factor, Factor]] = Field(
        [(1.0, 1.0)],
        min_length=1,
        max_length=9,
        description="Width and height of a cell's anchors, as pairs of factors of the cell's; a single pair needs no list.",
    )
    drop: float = Field(0.3, ge=0, lt=1, description="Share of the head's features dropped at random in training.")
    bias: float = Field(
        -4.0, ge=-20, le=20, description="What class outputs start from: -4 scores 0.02, so that background costs little."
    )
    focal_loss: bool = Field(False, description="Weigh down what is right already (focal loss, alpha 0.25, gamma 1).")
    location_loss_factor: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Weight of the box loss, the class loss having the rest of 1; default: both count in full.",
    )
    box_nms_thresh: MostOverlap = 0.45
    box_detections_per_img: int = Field(200, ge=1, description="Most boxes returned for an image, all classes together.")

    aliases: ClassVar[dict[str, str]] = {"zoom": "zooms", "grid": "grids", "focus_loss": "focal_loss"}

    @field_validator("ratios", mode="before")
    @classmethod
    def _as_pairs(cls, value: Any) -> Any:
        """Take one pair for a list of one."""
        if isinstance(value, (list, tuple)) and len(value) == 2 and not any(isinstance(one, (list, tuple)) for one in value):
            return [tuple(value)]
        return value


class SsdType(DetectorType):
    """Single-shot detector on grids of cells, as the reference's."""

    keyword = "SSD"
    title = "Single Shot Detector (object detection)"
    paper = "Liu et al.: SSD: Single Shot MultiBox Detector. ECCV 2016, arXiv:1512.02325"
    arguments: ClassVar[type[Arguments]] = SsdArguments
    backbones = BackboneRule("RESNET34", families=("resnet", "densenet", "vgg", "mobilenet"))
    tiny = Tiny(learning_rate=1e-3)
    learning_rate = 1e-3  # measured on `voc_palm`
    emd: ClassVar[dict[str, Any]] = {
        "ModelConfiguration": "_DynamicSSD",
        "ModelType": "ObjectDetection",
        "ModelName": "SingleShotDetector",
        "SupportsVariableTileSize": False,
        "SSDVersion": 2,
    }

    def check(self, chips: ChipSet, arguments: Arguments) -> None:
        """Raise `DataError` where no chip has a box, `OptionError` where a grid's cells would be under two pixels."""
        super().check(chips, arguments)
        assert isinstance(arguments, SsdArguments)
        side, finest = min(self.chip_size(chips, arguments)), max(arguments.grids or [1])
        if side / finest < SMALLEST_CELL:
            most = int(side / SMALLEST_CELL)
            raise OptionError(
                f"grids {finest} makes cells of {side / finest:.2g} px on chips of {side} px; they must have at least "
                f"{SMALLEST_CELL:g} px. Give grids of {most} at most, or leave grids out to have them picked."
            )

    def fit(self, chips: ChipSet, arguments: Arguments, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return `cells`, width and height in pixels of each grid's, `zooms` and `ratios` where not as given, and `notes`.

        Where nothing is given, cells are half as large as the boxes and anchors twice as large as a cell: with cells as large
        as the boxes most of these lie between two, and neighbours share one.

        A pretrained model's own cells stay unless grids are given.
        """
        from chipwright.networks.grid_fitting import SQUARE, grid_cells, pick_grids, pick_ratios

        assert isinstance(arguments, SsdArguments)
        size, boxes = self.chip_size(chips, arguments), boxes_of(chips)
        notes: list[str] = []
        fitted: dict[str, Any] = {}
        if arguments.grids is None and earlier is not None:
            return {name: value for name, value in earlier.items() if name in ("cells", "zooms", "ratios")}
        zooms = arguments.zooms
        if arguments.grids is None and len(boxes):
            dense = zooms == [1.0]
            zooms = [PICKED_ZOOM] if dense else zooms
            grids = pick_grids(boxes, size, 1 / PICKED_ZOOM if dense else 1.0)
            cells = grid_cells(grids, size)
            anchors = f", with anchors of {PICKED_ZOOM:g} times a cell's side," if dense else ""
            notes.append(f"Grids of {_listed(grids)} cells a side{anchors} were picked from the boxes.")
            if dense:
                fitted["zooms"] = zooms
            if tuple(arguments.ratios) == SQUARE:
                ratios = pick_ratios(boxes, cells, zooms)
                if len(ratios) > 1:
                    fitted["ratios"] = [list(pair) for pair in ratios]
                    notes.append(f"The boxes are long: anchors of ratios {_pairs(ratios)} were added to the square ones.")
        else:
            cells = grid_cells(arguments.grids or [4], size)
        fitted["cells"] = [list(cell) for cell in cells]
        notes += _misfit(boxes, cells, arguments, zooms, fitted.get("ratios", arguments.ratios))
        notes += self.crowded(chips, arguments.model_dump())
        return fitted | ({"notes": notes} if notes else {})

    def build(self, spec: ModelSpec, weights: BackboneWeights | None) -> nn.Module:
        """Return the network with an output for each of the spec's classes."""
        from chipwright.networks import ssd
        from chipwright.networks.backbones import create_backbone

        arguments = SsdArguments.model_validate(spec.arguments)
        backbone = create_backbone(
            spec.backbone or self.backbones.default,
            len(spec.bands),
            weights,
            weight_init_scheme=arguments.weight_init_scheme,
        )
        return ssd.SSD(
            backbone,
            len(spec.classes),
            spec.fitted["cells"],
            zooms=spec.fitted.get("zooms", arguments.zooms),
            ratios=spec.fitted.get("ratios", arguments.ratios),
            drop=arguments.drop,
            bias=arguments.bias,
            focal_loss=arguments.focal_loss,
            location_loss_factor=arguments.location_loss_factor,
            **arguments.box_settings(),
        )

    def emd_keys(self, spec: ModelSpec) -> dict[str, Any]:
        """Return the family's keys: Grids, Zooms and Ratios beside the constant ones."""
        return super().emd_keys(spec) | {
            "Grids": [round(spec.chip_size[0] / cell[0]) for cell in spec.fitted["cells"]],
            "Zooms": list(spec.fitted.get("zooms", spec.arguments["zooms"])),
            "Ratios": [list(pair) for pair in spec.fitted.get("ratios", spec.arguments["ratios"])],
        }


def _misfit(boxes: Any, cells: Any, arguments: SsdArguments, zooms: Any, ratios: Any) -> list[str]:
    """Return a sentence where many boxes cannot be drawn from any anchor."""
    from chipwright.networks.grid_fitting import out_of_reach

    share = out_of_reach(boxes, cells, zooms, ratios) if len(boxes) else 0.0
    if share < 0.1:
        return []
    remedy = "leave grids out to have them picked, or add zooms" if arguments.grids else "give zooms and ratios that suit them"
    return [f"{share:.0%} of the boxes are smaller or larger than any anchor can become: {remedy}."]


def _listed(grids: Any) -> str:
    return ", ".join(str(grid) for grid in grids)


def _pairs(ratios: Any) -> str:
    return ", ".join(f"{width:.2g}:{height:.2g}" for width, height in ratios[1:])


SSD = SsdType()
