"""The whole job on an invented village: draw a scene, cut chips, train a U-Net, put it back onto the map."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from chipwright import console
from chipwright.errors import OptionError
from chipwright.option_values import make_options

TILE = 128
EPOCHS = 12


def demo(out: Path, seed: int = 42, overwrite: bool = False) -> dict[str, Any]:
    """Run the whole job into `out` and return what was made: paths, metrics, seconds.

    Raises:
        OptionError: if `out` exists and is not empty, unless `overwrite` is given and it holds an earlier demo.
    """
    from chipwright import api
    from chipwright.raster.scene import draw_scene

    started = time.perf_counter()
    _clear(out, overwrite)
    console.say("1/5  Drawing a scene: a village with water, trees, roads and buildings")
    scene = draw_scene(out / "scene", seed=seed)
    console.say(f"2/5  Cutting chips of {TILE} x {TILE} pixels and their labels")
    chips = out / "chips"
    exported = api.export(
        scene.image,
        chips,
        scene.labels,
        metadata_format="Classified_Tiles",
        tile_size_x=TILE,
        tile_size_y=TILE,
        stride_x=TILE,
        stride_y=TILE,
        output_nofeature_tiles=True,
    )
    console.say(f"3/5  Training a U-Net on {exported.chips} chips, from random weights")
    from chipwright.training import train

    result = train(
        make_options(
            {
                "in_folder": chips,
                "out_folder": out / "model",
                "model_type": "UNET",
                "backbone_model": "RESNET18",
                "backbone_weights": "none",
                "freeze": False,
                "max_epochs": EPOCHS,
                "learning_rate": 2e-3,
                "validation_percentage": 15,
                "batch_size": 8,
                "seed": seed,
            }
        )
    )
    console.say("4/5  Putting the model back onto the scene")
    from chipwright.model import load_model

    model = load_model(result.out_model_file, processor_type=None, gpu_id=0, precision="auto")
    classes = api.predict(model, scene.image, out / "classes.tif").outputs[0]
    console.say("5/5  Drawing the map")
    picture = _draw_map(scene.image, classes, out / "map.png", model.spec.classes)
    return {
        "folder": str(out),
        "scene": str(scene.image),
        "labels": str(scene.labels),
        "chips": str(chips),
        "model": str(result.out_model_file),
        "report": str(result.folder / "model_metrics.html"),
        "classes": str(classes),
        "map": str(picture),
        "metrics": result.metrics,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _clear(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise OptionError(f"{out} is not empty. Name another folder, or give --overwrite to replace an earlier demo.")
    if not (out / "scene" / "scene.tif").is_file():
        raise OptionError(f"{out} does not hold an earlier demo, so it is not overwritten. Name another folder.")
    shutil.rmtree(out)


def _draw_map(image: Path, classes: Path, out: Path, known: Any) -> Path:
    """Draw the scene beside its predicted classes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    with rasterio.open(image) as source, rasterio.open(classes) as predicted:
        picture, values = np.moveaxis(source.read(), 0, -1), predicted.read(1)
    colors = np.full((256, 3), 235, np.uint8)
    for info in known:
        colors[info.value] = info.color
    figure = Figure(figsize=(14, 7.9), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.imshow(picture)
    left.set_title("Scene")
    right.imshow(colors[values])
    right.set_title("What the model sees")
    legend = [Patch(color=np.array(info.color) / 255, label=info.name) for info in known]
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), frameon=False)
    for axes in (left, right):
        axes.set_axis_off()
    figure.savefig(out, dpi=110)
    return out
