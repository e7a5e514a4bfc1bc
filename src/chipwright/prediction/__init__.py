"""Models at work on maps: rasters of any size through a network, and GIS layers out of it.

What a raster becomes depends on the kind of work: class values (`classes`), objects (`objects`) or labels (`labels`). All go
the same way: `windows` says what the network sees and what of it is kept, `source` reads it, `stream` runs it, `work` keeps
what is finished. Importing this package costs no torch.
"""

from chipwright.prediction.options import Predicted, PredictOptions, make_predict_options

__all__ = ["PredictOptions", "Predicted", "make_predict_options"]
