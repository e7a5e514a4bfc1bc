"""The report of a run: one page that holds everything, the numbers for scripts, and the pictures as files."""

from __future__ import annotations

import base64
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwright.files import whole_file, write_json, write_text

if TYPE_CHECKING:
    from chipwright.report.record import RunRecord

PICTURES = "ModelCharacteristics"
"""Subfolder of the pictures, as the reference names it."""

_LARGEST_PNG = 600_000
"""Bytes beyond which the page holds a photographic picture as JPEG."""


def write_report(folder: Path, record: RunRecord) -> None:
    """Write the report of a training run or an evaluation into `folder`, each file whole or not at all.

    `model_metrics.html` (one file, no network, works without scripts), `model_metrics.json` (every number of the page), and
    under `ModelCharacteristics` `loss_graph.png`, `show_results.png` and `confusion_matrix.png`; of these only what the
    record holds: an evaluation has no losses, a task without classes no confusion matrix. Pictures of an earlier report
    that this one has not are removed.
    """
    from chipwright.report.numbers import report_numbers

    numbers = report_numbers(record, record.created or datetime.now().astimezone())
    pictures = draw_pictures(record, numbers)
    page = render_page(record, numbers, pictures)
    for name in ("loss_graph", "show_results", "confusion_matrix"):
        path = folder / PICTURES / f"{name}.png"
        if name in pictures:
            with whole_file(path) as temporary:
                temporary.write_bytes(pictures[name])
        else:
            path.unlink(missing_ok=True)
    write_json(folder / "model_metrics.json", numbers)
    write_text(folder / "model_metrics.html", page)


def draw_pictures(record: RunRecord, numbers: dict[str, Any]) -> dict[str, bytes]:
    """Return the report's pictures as PNG files by name; those for which there is nothing to draw are left out."""
    from chipwright.report.pictures import confusion_picture, curves_picture, loss_graph, rate_graph
    from chipwright.report.samples import samples_picture

    history, confusion = numbers["history"], numbers["confusion_matrix"]
    drawn = {
        "loss_graph": loss_graph(history, numbers["best_epoch"], numbers["monitor"] or "") if history else None,
        "rate_graph": rate_graph(history, numbers["range_test"]) if history else None,
        "confusion_matrix": confusion_picture(confusion["classes"], confusion["counts"])
        if confusion and confusion["classes"]
        else None,
        "curves": curves_picture(numbers["curves"]),
        "show_results": samples_picture(record.samples, record.spec.classes),
    }
    return {name: picture for name, picture in drawn.items() if picture is not None}


def render_page(record: RunRecord, numbers: dict[str, Any], pictures: dict[str, bytes]) -> str:
    """Return the page as HTML with its pictures inside. All texts are escaped, whatever a class is called."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from chipwright.report.view import page_view

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    view = page_view(numbers, record.spec.classes)
    view["judged"] = any(panel.good is not None for sample in record.samples for panel in sample)
    view["pictures"] = {name: _embedded(picture) for name, picture in pictures.items()}
    return environment.get_template("page.html").render(view)


def _embedded(picture: bytes) -> dict[str, Any]:
    """Return a picture as a data URI with its size on the page; a large photographic one as JPEG, to keep the page light."""
    from PIL import Image

    image = Image.open(BytesIO(picture))
    scale = 96 / round(image.info["dpi"][0])  # a page has 96 pixels to the inch, so letters keep the size they were drawn in
    kind = "png"
    if len(picture) > _LARGEST_PNG:
        buffer = BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=85, subsampling=0, optimize=True)
        kind, picture = "jpeg", buffer.getvalue()
    uri = f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"
    return {"uri": uri, "width": round(image.width * scale), "height": round(image.height * scale)}
