"""Drop-in functions with the reference's names, parameters and values, for scripts that call `arcpy.ia`.

from chipwright.ia import ExportTrainingDataForDeepLearning, TrainDeepLearningModel, env

env.processorType = "GPU"
ExportTrainingDataForDeepLearning("ortho.tif", "chips", "trees.gpkg", "TIFF", 256, 256, 128, 128)
result = TrainDeepLearningModel("chips", "models/trees", 20, "FASTERRCNN", 8, "monitor average_precision")
print(result.out_model_file, result.metrics)
"""

from __future__ import annotations

from chipwright.ia.environment import Environment, EnvManager, env
from chipwright.ia.exporting import ExportTrainingDataForDeepLearning
from chipwright.ia.results import ExportResult, Result
from chipwright.ia.training import TrainDeepLearningModel

__all__ = [
    "EnvManager",
    "Environment",
    "ExportResult",
    "ExportTrainingDataForDeepLearning",
    "Result",
    "TrainDeepLearningModel",
    "env",
]
