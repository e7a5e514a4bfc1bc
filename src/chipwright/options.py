"""`TrainOptions`: the reference's twelve parameters and ours beyond them, validated before anything heavy starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Precision = Literal["auto", "float32", "bfloat16", "float16"]
SplitMethod = Literal["random", "stratified", "block", "folder"]


class TrainOptions(BaseModel):
    """Options of one training run; field descriptions are the help text."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    in_folder: tuple[Path, ...] = Field(description="Folder(s) that Export Training Data For Deep Learning wrote.")
    out_folder: Path = Field(description="Folder in which the trained model is stored; its name becomes the model's.")
    max_epochs: int = Field(20, ge=1, description="Most epochs; one epoch shows every training sample once.")
    model_type: str | None = Field(None, description="Model type keyword; picked from the data if not given.")
    batch_size: int | None = Field(None, ge=1, description="Samples per step and device; picked if not given.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Model arguments by name.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        lt=10,
        description="Learning rate; found by a range test if not given, for object detectors the type's own default.",
    )
    backbone_model: str | None = Field(None, description="Backbone keyword or timm:NAME; the type's default if not given.")
    pretrained_model: Path | None = Field(None, description="Package to fine-tune: folder, .emd or .dlpk.")
    validation_percentage: float = Field(10, gt=0, lt=100, description="Share of samples held back for validation.")
    stop_training: bool = Field(True, description="Stop early when the monitored metric no longer improves.")
    freeze: bool | None = Field(None, description="Keep the backbone's pretrained weights; None is the default, FREEZE_MODEL.")
    processor_type: Literal["CPU", "GPU"] | None = Field(None, description="Where to train; a GPU if there is one.")
    gpu_id: int = Field(0, ge=0, description="Which GPU.")
    backbone_weights: str = Field("imagenet", description='Backbone weights: "imagenet", "none", or a file.')
    split: SplitMethod | None = Field(None, description="How validation samples are chosen: random, stratified, block, folder.")
    precision: Precision = Field("auto", description="Arithmetic of training.")
    seed: int = Field(42, ge=0, lt=2**31, description="Seed of everything random.")
    workers: int | None = Field(None, ge=0, le=64, description="Loader processes; picked if not given.")
    augmentation: Literal["DEFAULT", "NONE"] | dict[str, Any] = Field(
        "DEFAULT", description="Random changes to training samples: DEFAULT, NONE, or parts by name."
    )
    resume: bool = Field(False, description="Go on from the last checkpoint in out_folder.")
    overwrite: bool = Field(False, description="Replace a model that is already in out_folder.")
    raster_function: bool = Field(
        True, description="Give the package the network as ONNX and a raster function for ArcGIS Pro (extra onnx)."
    )

    @field_validator("in_folder")
    @classmethod
    def _at_least_one(cls, folders: tuple[Path, ...]) -> tuple[Path, ...]:
        if not folders:
            raise ValueError("name at least one training-data folder")
        return folders
