"""The report of a run: one page that holds everything, the numbers for scripts, and the pictures as files."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chipwright.files import whole_file, write_json, write_text

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from chipwright.report.record import RunRecord

PICTURES = "ModelCharacteristics"
"""Subfolder of the pictures, as the reference names it."""

_LARGEST_PNG = 600_000
"""Bytes beyond which the page holds a photographic picture as JPEG."""
_LARGEST_JPEG = 1_700_000
"""Bytes beyond which its quality is lowered, so that the page can be mailed."""


def write_report(folder: Path, record: RunRecord) -> None:
    """Write the report of a training run or an evaluation into `folder`, each file whole or not at all.

    `model_metrics.html` (one file, no network, works without scripts), `model_metrics.json` (every number of the page), and
    under `ModelCharacteristics` `loss_graph.png`, `show_results.png` and `confusion_matrix.png`; of these only what the
    record holds: an evaluation has no losses, a task without classes no confusion matrix. Pictures of an earlier report
    that this one has not are removed.
    """
    from chipwright.report.numbers import report_numbers

    numbers = report_numbers(record, record.created or datetime.now().astimezone())
    pictures, sample_edges = draw_pictures(record, numbers)
    page = render_page(record, numbers, pictures, sample_edges)
    for name in ("loss_graph", "show_results", "confusion_matrix"):
        path = folder / PICTURES / f"{name}.png"
        if name in pictures:
            with whole_file(path) as temporary:
                temporary.write_bytes(pictures[name])
        else:
            path.unlink(missing_ok=True)
    write_json(folder / "model_metrics.json", numbers)
    write_text(folder / "model_metrics.html", page)


def draw_pictures(record: RunRecord, numbers: dict[str, Any]) -> tuple[dict[str, bytes], list[int]]:
    """Return the report's pictures as PNG files by name, and the lower edges of the lines of `show_results` in pixels.

    Pictures for which there is nothing to draw are left out.
    """
    from chipwright.report.pictures import confusion_picture, curves_picture, loss_graph, rate_graph
    from chipwright.report.samples import samples_picture

    history, confusion = numbers["history"], numbers["confusion_matrix"]
    samples = samples_picture(record.samples, record.spec.classes)
    drawn = {
        "loss_graph": loss_graph(history, numbers["best_epoch"], numbers["monitor"] or "") if history else None,
        "rate_graph": rate_graph(history, numbers["range_test"]) if history else None,
        "confusion_matrix": confusion_picture(confusion["classes"], confusion["counts"])
        if confusion and confusion["classes"]
        else None,
        "curves": curves_picture(numbers["curves"]),
        "show_results": samples[0] if samples else None,
    }
    return {name: picture for name, picture in drawn.items() if picture is not None}, samples[1] if samples else []


def render_page(record: RunRecord, numbers: dict[str, Any], pictures: dict[str, bytes], sample_edges: Sequence[int]) -> str:
    """Return the page as HTML with its pictures inside. All texts are escaped, whatever a class is called.

    The samples are embedded line by line, so that a printed page can break between them.
    """
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
    view["pictures"] = {
        name: embedded(picture, sample_edges if name == "show_results" else None) for name, picture in pictures.items()
    }
    return environment.get_template("page.html").render(view)


def embedded(picture: bytes, edges: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Return a picture as data URIs with their sizes on the page, cut at the lower `edges` of its parts where given.

    A large photographic one becomes JPEG, to keep the page light.
    """
    from PIL import Image

    file = Image.open(BytesIO(picture))
    image = file.convert("RGB")
    cuts = pairwise([0, *(edges or [image.height])])
    parts = [image.crop((0, top, image.width, bottom)) for top, bottom in cuts]
    kind = "jpeg" if len(picture) > _LARGEST_PNG else "png"
    if kind == "png":
        encoded = [_encode(part) for part in parts]
    else:
        for quality in (85, 75, 60, 45):
            encoded = [_encode(part, quality) for part in parts]
            if sum(map(len, encoded)) <= _LARGEST_JPEG:
                break
    scale = 96 / round(file.info["dpi"][0])  # 96 pixels of a page are an inch: letters keep the size they were drawn in
    return [
        {
            "uri": f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}",
            "width": round(part.width * scale),
            "height": round(part.height * scale),
        }
        for part, data in zip(parts, encoded, strict=True)
    ]


def _encode(image: Picture, quality: int | None = None) -> bytes:
    """Return an image as a PNG file's bytes, or as a JPEG's of the given quality with its colours at full resolution."""
    buffer = BytesIO()
    if quality is None:
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
    return buffer.getvalue()
