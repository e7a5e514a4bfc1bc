"""The trained model on disk: weights, `.emd`, `.dlpk`, ONNX. Data only: nothing here runs code that came with a package.

Importing this costs no torch; it is imported where tensors are read or written.
"""

from chipwright.package.archive import pack
from chipwright.package.describe import describe_package
from chipwright.package.store import Package, open_package, save_package

__all__ = ["Package", "describe_package", "open_package", "pack", "save_package"]
