"""The options of `chipwright train` as the command line declares them: spelling, placeholder, help.

None means "not given", so that a configuration file can be told from the command line. Numbers are taken as text: one place,
`chipwright.option_values`, checks every value for all faces. The defaults named in the help are those of `TrainOptions`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def _option(*names: str, metavar: str | None = None, help: str, default: str = "") -> Any:
    return typer.Option(*names, metavar=metavar, help=help + (f" Default: {default}." if default else ""), show_default=False)


InFolder = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="IN_FOLDER...", show_default=False, help="Folder(s) that Export Training Data For Deep Learning wrote."
    ),
]
OutFolder = Annotated[
    Path | None,
    _option(
        "--out",
        "--out-folder",
        metavar="OUT_FOLDER",
        help="Folder in which the trained model is stored; its name becomes the model's.",
    ),
]
ValidationPercentage = Annotated[
    str | None,
    _option(
        "--validation-percentage",
        metavar="PERCENT",
        help="Share of samples held back for validation, in per cent.",
        default="10",
    ),
]
Split = Annotated[
    str | None,
    _option(
        "--split",
        metavar="random|stratified|block|folder",
        help="How validation samples are chosen.",
        default="picked",
    ),
]
Augmentation = Annotated[
    str | None,
    _option(
        "--augmentation",
        metavar="DEFAULT|NONE|FILE",
        help="Random changes to training samples.",
        default="DEFAULT",
    ),
]
ModelTypeKeyword = Annotated[
    str | None,
    _option(
        "--model-type",
        metavar="KEYWORD",
        help='Model type; "chipwright models" lists them.',
        default="picked from the data",
    ),
]
ModelArguments = Annotated[
    list[str] | None,
    _option(
        "--argument",
        "-a",
        metavar="NAME=VALUE",
        help='Model argument, once for each; "chipwright models KEYWORD" lists them.',
    ),
]
BackboneModel = Annotated[
    str | None,
    _option("--backbone-model", metavar="KEYWORD|timm:NAME", help="Backbone.", default="the model type's"),
]
BackboneWeights = Annotated[
    str | None,
    _option(
        "--backbone-weights",
        metavar="imagenet|none|FILE",
        help="Where the backbone's first weights come from.",
        default="imagenet",
    ),
]
PretrainedModel = Annotated[
    Path | None,
    _option(
        "--pretrained-model",
        metavar="MODEL",
        help="Trained model to go on from: folder, .emd or .dlpk.",
    ),
]
Freeze = Annotated[
    bool | None,
    _option(
        "--freeze-model/--unfreeze-model",
        help="Keep the backbone's pretrained weights as they are.",
        default="freeze-model",
    ),
]
MaxEpochs = Annotated[
    str | None,
    _option(
        "--max-epochs",
        metavar="COUNT",
        help="Most epochs; one epoch shows every training sample once.",
        default="20",
    ),
]
BatchSize = Annotated[
    str | None,
    _option("--batch-size", metavar="COUNT", help="Samples per step and device.", default="picked"),
]
LearningRate = Annotated[
    str | None,
    _option("--learning-rate", metavar="RATE", help="Learning rate.", default="found by a range test"),
]
StopTraining = Annotated[
    bool | None,
    _option(
        "--stop-training/--continue-training",
        help="Stop early when the monitored metric no longer improves.",
        default="stop-training",
    ),
]
Seed = Annotated[
    str | None,
    _option("--seed", metavar="NUMBER", help="Seed of everything random.", default="42"),
]
ProcessorType = Annotated[
    str | None,
    _option("--processor-type", metavar="CPU|GPU", help="Where to train.", default="a GPU if there is one"),
]
GpuId = Annotated[
    str | None,
    _option("--gpu-id", metavar="NUMBER", help="Which GPU.", default="0"),
]
Precision = Annotated[
    str | None,
    _option(
        "--precision",
        metavar="auto|float32|bfloat16|float16",
        help="Arithmetic of training.",
        default="auto",
    ),
]
Workers = Annotated[
    str | None,
    _option("--workers", metavar="COUNT", help="Loader processes.", default="picked"),
]
Resume = Annotated[
    bool | None,
    _option("--resume", help="Go on from the last checkpoint in OUT_FOLDER."),
]
Overwrite = Annotated[
    bool | None,
    _option("--overwrite", help="Replace a model that is already in OUT_FOLDER."),
]
RasterFunction = Annotated[
    bool | None,
    _option(
        "--raster-function/--no-raster-function",
        help="Give the package the network as ONNX and a raster function for ArcGIS Pro.",
        default="yes, with the extra onnx",
    ),
]
Config = Annotated[
    Path | None,
    _option("--config", metavar="FILE.yaml", help="Read options from a file; the command line wins."),
]
PrintConfig = Annotated[
    bool,
    _option("--print-config", help="Print every option as YAML for --config, and stop."),
]
