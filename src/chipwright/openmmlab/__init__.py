"""Networks of OpenMMLab's MMDetection and MMSegmentation, used as networks: none of their runners, datasets or programs.

Nothing here is imported before MMDETECTION or MMSEGMENTATION is asked for. `configs` reads network descriptions and imports
none of the packages; `operators` supplies what their compiled extension would; `building` makes networks.
"""
