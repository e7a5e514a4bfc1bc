"""Drop-in functions with the reference's names, parameters and values, for scripts that call `arcpy.ia`.

from chipwright.ia import ExportTrainingDataForDeepLearning, TrainDeepLearningModel, env

env.processorType = "GPU"
ExportTrainingDataForDeepLearning("ortho.tif", "chips", "trees.gpkg", "TIFF", 256, 256, 128, 128)
result = TrainDeepLearningModel("chips", "models/trees", 20, "FASTERRCNN", 8, "monitor average_precision")
print(result.out_model_file, result.metrics)
DetectObjectsUsingDeepLearning("ortho.tif", "trees.gpkg", result.out_model_file, "threshold 0.4")
"""

from __future__ import annotations

from chipwright.ia.accuracy import ComputeAccuracyForObjectDetection
from chipwright.ia.environment import Environment, EnvManager, env
from chipwright.ia.exporting import ExportTrainingDataForDeepLearning
from chipwright.ia.inference import (
    ClassifyObjectsUsingDeepLearning,
    ClassifyPixelsUsingDeepLearning,
    DetectChangeUsingDeepLearning,
    DetectObjectsUsingDeepLearning,
    NonMaximumSuppression,
)
from chipwright.ia.results import ExportResult, FeatureResult, RasterResult, Result, TableResult
from chipwright.ia.training import TrainDeepLearningModel

__all__ = [
    "ClassifyObjectsUsingDeepLearning",
    "ClassifyPixelsUsingDeepLearning",
    "ComputeAccuracyForObjectDetection",
    "DetectChangeUsingDeepLearning",
    "DetectObjectsUsingDeepLearning",
    "EnvManager",
    "Environment",
    "ExportResult",
    "ExportTrainingDataForDeepLearning",
    "FeatureResult",
    "NonMaximumSuppression",
    "RasterResult",
    "Result",
    "TableResult",
    "TrainDeepLearningModel",
    "env",
]
