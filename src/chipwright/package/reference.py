"""Packages that ArcGIS trained: recognising them and saying what can be done with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from chipwright.errors import PackageError

_CONFIGURATIONS = {
    "_DynamicSSD": "SSD",
    "_RetinaNet_Inference": "RETINANET",
    "_yolov3_inference": "YOLOV3",
    "_maskrcnn_inferencing": "MASKRCNN",
    "_unet": "UNET",
    "_psp": "PSPNET",
    "_deeplab_infrencing": "DEEPLAB",
    "_road_infrencing": "MULTITASK_ROADEXTRACTOR",
    "change_detection": "CHANGEDETECTOR",
    "_FeatureClassifier": "FEATURE_CLASSIFIER",
    "_image_captioner_inference": "IMAGECAPTIONER",
    "_pix2pix": "PIX2PIX",
    "_pix2pix_hd": "PIX2PIXHD",
    "_cyclegan": "CYCLEGAN",
    "_superres": "SUPERRESOLUTION",
    "_siammask_inferencing": "SIAMMASK",
    "_panoptic_inferencing": "MAXDEEPLAB",
    "_psetae_inferencing": "PSETAE",
}
"""ModelConfiguration of the reference -> our keyword. Others share "_model_extension_inferencing"; `ModelName` tells them."""

_EXTENSIONS = ("FASTERRCNN", "DETREG", "HED_EDGEDETECTOR", "BDCN_EDGEDETECTOR", "MMDETECTION", "MMSEGMENTATION", "CONNECTNET")

PLANNED = frozenset({"FASTERRCNN", "MASKRCNN", "DEEPLAB"})
"""Types whose network is torchvision's own, so that the reference's weights can be made to fit."""


def is_reference(emd: Mapping[str, Any]) -> bool:
    """Return whether the reference wrote this `.emd`."""
    framework = emd.get("Framework")
    return "ArcGISLearnVersion" in emd or (isinstance(framework, str) and framework.lower().startswith("arcgis"))


def is_training_data(emd: Mapping[str, Any]) -> bool:
    """Return whether this is the `.emd` of exported training data, which describes chips and names no weights."""
    file = emd.get("ModelFile")
    if isinstance(file, str):
        return file.startswith("e.g.")  # the placeholder that exports write
    return "ModelFiles" not in emd and ("MetaDataMode" in emd or "AllTilesStats" in emd)


def reference_type(emd: Mapping[str, Any]) -> str | None:
    """Return our keyword for the type of a model that the reference trained, or None where it cannot be told."""
    configuration = emd.get("ModelConfiguration")
    if isinstance(configuration, str) and configuration in _CONFIGURATIONS:
        return _CONFIGURATIONS[configuration]
    name = "".join(letter for letter in str(emd.get("ModelName", "")) if letter.isalnum()).upper()
    return next((keyword for keyword in _EXTENSIONS if keyword.replace("_", "") == name), None)


def refuse_foreign(emd: Mapping[str, Any], where: str) -> NoReturn:
    """Say why an `.emd` that chipwright did not write cannot be loaded.

    Raises:
        PackageError: always.
    """
    if is_training_data(emd):
        raise PackageError(
            f"{where} describes training data, not a trained model. Give the folder, .emd or .dlpk that training wrote."
        )
    if not is_reference(emd):
        raise PackageError(
            f'{where} was not written by chipwright (it lacks the key "Chipwright"), so its weights cannot be loaded. '
            "`chipwright inspect` shows what it says of itself."
        )
    kind = reference_type(emd) or str(emd.get("ModelName") or emd.get("ModelType") or "model")
    raise PackageError(
        f"{where} was trained by ArcGIS ({kind}). {weights_sentence(emd)} "
        "`chipwright inspect` shows its classes, bands, tile size and normalisation."
    )


def weights_sentence(emd: Mapping[str, Any]) -> str:
    """Return the sentence that says why the weights of a model trained by the reference do not load here."""
    kind = reference_type(emd)
    if kind in PLANNED:
        return f"Weights of its {kind} cannot be loaded by this version of chipwright yet; train the model here instead."
    return (
        "Its weights fit the reference's own network only, so they cannot be loaded; train the model with chipwright instead."
    )
