"""Python raster functions that ArcGIS Pro runs out of a package, one a kind of task.

Each is made of two of the modules here, `shared` and its own, joined into one file that needs numpy and onnxruntime alone (see
`chipwright.package.raster_function`). They are not imported by chipwright, and nothing of it is imported by them.
"""
