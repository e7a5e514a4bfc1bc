"""The reference's tools that put a trained model to work."""

# ruff: noqa: N802 - the reference's names

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chipwright import console
from chipwright.errors import OptionError, listed, suggestion
from chipwright.ia.environment import env, share
from chipwright.ia.results import FeatureResult, Folder, RasterResult
from chipwright.text_values import is_empty

_ARGUMENTS = {"padding": "padding", "batch_size": "batch_size", "threshold": "threshold", "nms_overlap": "nms_overlap"}
_ARGUMENTS |= {"tile_size": "tile_size"}
"""Arguments of the reference's tools, and our options for them."""

_UNUSED = {
    "exclude_pad_detections": "objects in the padding are always left to the window that sees them whole",
    "return_bboxes": "objects with masks come as outlines",
    "predict_background": "pixels of no class are 0",
    "test_time_augmentation": "every window is predicted once",
    "merge_policy": "every window is predicted once",
    "detailed_thematic": "there is one way to draw classes",
    "score_threshold": "the least score is the argument threshold",
}
"""Arguments that are accepted and change nothing, and why."""


def DetectObjectsUsingDeepLearning(
    in_raster: Folder | list[Folder],
    out_detected_objects: Folder,
    in_model_definition: Folder,
    arguments: str | list[Any] | dict[str, Any] | None = None,
    run_nms: str | bool | None = "NO_NMS",
    confidence_score_field: str | None = "Confidence",
    class_value_field: str | None = "Class",
    max_overlap_ratio: float | str | None = 0,
    processing_mode: str | None = "PROCESS_AS_MOSAICKED_IMAGE",
    use_pixelspace: str | bool | None = "NO_PIXELSPACE",
    **beyond: Any,
) -> FeatureResult:
    """Find objects on a raster and write them as polygons.

    Parameters and order are the reference's. Duplicates where windows meet are always merged; `run_nms` removes more of what
    overlaps.

    Args:
        in_raster: raster, folder of rasters, or several.
        out_detected_objects: `.gpkg` or `.geojson`.
        in_model_definition: `.dlpk`, `.emd` or folder.
        arguments: `"padding 64;threshold 0.4;batch_size 4;nms_overlap 0.3;tile_size 512"`, pairs, or a dictionary.
        run_nms: NMS or NO_NMS, or a truth.
        confidence_score_field: the scores are in `Confidence`, 0 to 100, whatever is given.
        class_value_field: the classes are in `Class` and `classvalue`, whatever is given.
        max_overlap_ratio: IoU up to which two objects of a class may overlap, with NMS.
        processing_mode: PROCESS_AS_MOSAICKED_IMAGE.
        use_pixelspace: NO_PIXELSPACE.
        **beyond: fields of `PredictOptions` that the reference has not, such as `mask`, `precision`.

    Raises:
        OptionError, DataError, PackageError: for input that cannot be used; nothing is written then.
        ChipwrightError: for a failure under way.
    """
    _only("processing_mode", processing_mode, "PROCESS_AS_MOSAICKED_IMAGE")
    _only("use_pixelspace", use_pixelspace, "NO_PIXELSPACE")
    _settled("confidence_score_field", confidence_score_field, ("Confidence",))
    _settled("class_value_field", class_value_field, ("Class", "classvalue"))
    from chipwright import api
    from chipwright.option_reading import read_folders
    from chipwright.prediction.work import check_output
    from chipwright.raster.suppression import suppress_file
    from chipwright.raster.vector_writing import driver_for

    out = Path(out_detected_objects)
    driver_for(out, "Objects")
    options = _settings() | _options(arguments) | beyond
    overlap = share("max_overlap_ratio", max_overlap_ratio, 0.0)
    if not _truth("run_nms", run_nms, {"NMS": True, "NO_NMS": False}):
        done = api.predict(in_model_definition, in_raster, out, **options)
        return FeatureResult(done.outputs[0], sum(done.counts.values()), done)
    check_output(out, read_folders(in_raster, "in_raster"), _truth("overwrite", options.pop("overwrite", None), {}))
    with tempfile.TemporaryDirectory(prefix="chipwright-", ignore_cleanup_errors=True) as folder:
        everything = Path(folder) / "objects.gpkg"
        done = api.predict(in_model_definition, in_raster, everything, **options)
        _, left = suppress_file(everything, "Confidence", out, "classvalue", overlap)
    return FeatureResult(out, left, done)


def ClassifyPixelsUsingDeepLearning(
    in_raster: Folder | list[Folder],
    in_model_definition: Folder,
    arguments: str | list[Any] | dict[str, Any] | None = None,
    processing_mode: str | None = "PROCESS_AS_MOSAICKED_IMAGE",
    out_classified_folder: Folder | None = None,
    out_featureclass: Folder | None = None,
    overwrite_attachments: str | bool | None = None,
    use_pixelspace: str | bool | None = "NO_PIXELSPACE",
    **beyond: Any,
) -> RasterResult:
    """Give every pixel of a raster a class.

    Parameters and order are the reference's. The result is saved with `result.save("classes.tif")`, as arcpy's rasters are;
    until then it lies in a temporary folder. The option `out_raster` writes it to its place at once.

    Args:
        in_raster: raster, folder of rasters, or several.
        in_model_definition: `.dlpk`, `.emd` or folder.
        arguments: `"padding 64;batch_size 4;tile_size 512"`, pairs, or a dictionary.
        processing_mode: PROCESS_AS_MOSAICKED_IMAGE; with PROCESS_ITEMS_SEPARATELY each raster is classified into
            `out_classified_folder`.
        out_classified_folder: for rasters that are classified one by one.
        out_featureclass, overwrite_attachments: for attachments, which are not supported.
        use_pixelspace: NO_PIXELSPACE.
        **beyond: `out_raster`, and fields of `PredictOptions` that the reference has not.

    Raises:
        OptionError, DataError, PackageError: for input that cannot be used.
        ChipwrightError: for a failure under way.
    """
    _only("out_featureclass", out_featureclass)
    _only("use_pixelspace", use_pixelspace, "NO_PIXELSPACE")
    options = _options(arguments)
    if str(processing_mode or "").upper() == "PROCESS_ITEMS_SEPARATELY":
        return _one_by_one(in_raster, in_model_definition, out_classified_folder, options | beyond)
    _only("processing_mode", processing_mode, "PROCESS_AS_MOSAICKED_IMAGE")
    return _raster(in_model_definition, in_raster, options, beyond)


def DetectChangeUsingDeepLearning(
    from_raster: Folder,
    to_raster: Folder,
    in_model_definition: Folder,
    arguments: str | list[Any] | dict[str, Any] | None = None,
    **beyond: Any,
) -> RasterResult:
    """Find what changed between two rasters; the result is saved as that of `ClassifyPixelsUsingDeepLearning`.

    Args:
        from_raster, to_raster: of the earlier and the later date.
        in_model_definition: `.dlpk`, `.emd` or folder.
        arguments: `"padding 64;batch_size 4"`, pairs, or a dictionary.
        **beyond: `out_raster`, and fields of `PredictOptions` that the reference has not.

    Raises:
        OptionError, DataError, PackageError: for input that cannot be used.
        ChipwrightError: for a failure under way.
    """
    return _raster(in_model_definition, from_raster, _options(arguments) | {"second": to_raster}, beyond)


def ClassifyObjectsUsingDeepLearning(
    in_raster: Folder | list[Folder],
    out_feature_class: Folder,
    in_model_definition: Folder,
    in_features: Folder | None = None,
    class_label_field: str | None = "ClassLabel",
    processing_mode: str | None = "PROCESS_AS_MOSAICKED_IMAGE",
    model_arguments: str | list[Any] | dict[str, Any] | None = None,
    caption: str | None = None,
    **beyond: Any,
) -> FeatureResult:
    """Give every feature, or every tile of a raster, a label.

    Args:
        in_raster: raster, folder of rasters, or several.
        out_feature_class: `.gpkg` or `.geojson`.
        in_model_definition: `.dlpk`, `.emd` or folder.
        in_features: what to label; tiles of the chips' size if not given.
        class_label_field: name of the field with the labels; captions are in `Caption`.
        processing_mode: PROCESS_AS_MOSAICKED_IMAGE.
        model_arguments: `"batch_size 4"`, pairs, or a dictionary.
        caption: not used.
        **beyond: fields of `PredictOptions` that the reference has not.

    Raises:
        OptionError, DataError, PackageError: for input that cannot be used; nothing is written then.
        ChipwrightError: for a failure under way.
    """
    _only("processing_mode", processing_mode, "PROCESS_AS_MOSAICKED_IMAGE")
    from chipwright import api

    options = _settings() | {"label_field": class_label_field, "features": in_features} | _options(model_arguments) | beyond
    done = api.predict(in_model_definition, in_raster, out_feature_class, **options)
    return FeatureResult(done.outputs[0], sum(done.counts.values()), done)


def NonMaximumSuppression(
    in_featureclass: Folder,
    confidence_score_field: str,
    out_featureclass: Folder,
    class_value_field: str | None = None,
    max_overlap_ratio: float | str | None = 0,
) -> FeatureResult:
    """Remove features that overlap others of their class which have a higher score.

    Args:
        in_featureclass: polygons.
        confidence_score_field: field with the score.
        out_featureclass: `.gpkg` or `.geojson`.
        class_value_field: field with the class; classvalue or value if not given, else all are of one.
        max_overlap_ratio: IoU up to which two features may overlap.

    Raises:
        OptionError, DataError: for input that cannot be used; nothing is written then.
    """
    from chipwright.prediction.work import check_output
    from chipwright.raster.suppression import suppress_file

    source, out = Path(in_featureclass), Path(out_featureclass)
    check_output(out, [source], bool(env.overwriteOutput))
    field = None if is_empty(class_value_field) else class_value_field
    overlap = share("max_overlap_ratio", max_overlap_ratio, 0.0)
    before, left = suppress_file(source, confidence_score_field, out, field, overlap)
    console.say(f"{left} of {before} features stay.")
    return FeatureResult(out, left, None)


def _options(arguments: Any) -> dict[str, Any]:
    """Return the reference's model arguments as options."""
    from chipwright.models.parsing import raw_arguments

    options = {}
    for name, value in raw_arguments(arguments).items():
        key = name.lower()
        if key in _ARGUMENTS:
            options[_ARGUMENTS[key]] = value
        elif key in _UNUSED:
            console.say(f"The argument {name} changes nothing: {_UNUSED[key]}.")
        else:
            known = [*_ARGUMENTS, *_UNUSED]
            raise OptionError(f"There is no argument {name!r}.{suggestion(key, known)} Arguments: {listed(_ARGUMENTS)}.")
    return options


def _settings() -> dict[str, Any]:
    return {
        "processor_type": env.processorType, "gpu_id": env.gpuId, "cell_size": env.cellSize, "overwrite": env.overwriteOutput,
    }  # fmt: skip


def _raster(model: Folder, in_raster: Any, options: Mapping[str, Any], beyond: Mapping[str, Any]) -> RasterResult:
    from chipwright import api

    given = {**_settings(), **options, **beyond}
    out = given.pop("out_raster", None)
    folder = None if out else tempfile.TemporaryDirectory(prefix="chipwright-", ignore_cleanup_errors=True)
    target = Path(out) if folder is None else Path(folder.name) / "classes.tif"
    done = api.predict(model, in_raster, target, **given)
    return RasterResult(done.outputs[0], done, folder)


def _one_by_one(in_raster: Any, model: Folder, out: Folder | None, options: Mapping[str, Any]) -> RasterResult:
    from chipwright import api
    from chipwright.option_reading import read_folders
    from chipwright.prediction.options import make_predict_options
    from chipwright.prediction.work import check_output
    from chipwright.raster.imagery import rasters_in

    if is_empty(out):
        raise OptionError("PROCESS_ITEMS_SEPARATELY needs out_classified_folder: a folder for the classified rasters.")
    folder, given = Path(str(out)), {**_settings(), **options}
    files: Sequence[Path] = [file for path in read_folders(in_raster, "in_raster") for file in rasters_in(path)]
    targets = [folder / f"{file.stem}.tif" for file in files]
    first = make_predict_options({"model": model, "in_raster": files, "out": folder / "first.tif", **given})
    for number, (file, target) in enumerate(zip(files, targets, strict=True)):
        if str(target).casefold() in (str(other).casefold() for other in targets[:number]):
            raise OptionError(f"Two rasters are called {file.stem}, and would be classified into one file. Rename one of them.")
        check_output(target, files, first.overwrite)
    loaded = api.load(model, processor_type=first.processor_type, gpu_id=first.gpu_id, precision=first.precision)
    done = [api.predict(loaded, file, target, **given) for file, target in zip(files, targets, strict=True)]
    return RasterResult(folder, done[0], None)


def _only(name: str, given: Any, allowed: str | None = None) -> None:
    """Raise `OptionError` for a value that the reference knows and we do not."""
    text = "" if is_empty(given) or given is False else str(given).strip().upper()
    if text and text != allowed:
        expected = f"expected {allowed}" if allowed else "it is not supported"
        raise OptionError(f"{name} is {given!r}; {expected}.")


def _settled(name: str, given: Any, known: Sequence[str]) -> None:
    """Say that another name of a field than ours changes nothing."""
    if not is_empty(given) and str(given).strip().lower() not in (one.lower() for one in known):
        console.say(f"{name} {given!r} changes nothing: the field is {' or '.join(known)}.")


def _truth(name: str, given: Any, keywords: Mapping[str, bool]) -> bool:
    from chipwright.option_reading import read_truth

    return False if is_empty(given) else read_truth(name, given, str, keywords)
