"""The networks that MMSEGMENTATION has names for: name -> the config that MMSegmentation ships for it.

Of each the smallest variant with published weights on Cityscapes, but for `ocrnet_base`, which is OCRNet over a dilated
ResNet-101 as in its paper.
"""

from __future__ import annotations

CONFIGS = {
    "ann": "ann/ann_r50-d8_4xb2-40k_cityscapes-512x1024",
    "apcnet": "apcnet/apcnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "ccnet": "ccnet/ccnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "cgnet": "cgnet/cgnet_fcn_4xb4-60k_cityscapes-680x680",
    "danet": "danet/danet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "deeplabv3": "deeplabv3/deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024",
    "deeplabv3plus": "deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024",
    "dmnet": "dmnet/dmnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "dnlnet": "dnlnet/dnl_r50-d8_4xb2-40k_cityscapes-512x1024",
    "emanet": "emanet/emanet_r50-d8_4xb2-80k_cityscapes-512x1024",
    "encnet": "encnet/encnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "fastscnn": "fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024",
    "fcn": "fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024",
    "gcnet": "gcnet/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "hrnet": "hrnet/fcn_hr18_4xb2-40k_cityscapes-512x1024",
    "mobilenet_v2": "mobilenet_v2/mobilenet-v2-d8_deeplabv3plus_4xb2-80k_cityscapes-512x1024",
    "mobilenet_v3": "mobilenet_v3/mobilenet-v3-d8_lraspp_4xb4-320k_cityscapes-512x1024",
    "nonlocal_net": "nonlocal_net/nonlocal_r50-d8_4xb2-40k_cityscapes-512x1024",
    "ocrnet": "ocrnet/ocrnet_hr18_4xb2-40k_cityscapes-512x1024",
    "ocrnet_base": "ocrnet/ocrnet_r101-d8_4xb2-40k_cityscapes-512x1024",
    "pointrend": "point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024",
    "psanet": "psanet/psanet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "pspnet": "pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "resnest": "resnest/resnest_s101-d8_deeplabv3_4xb2-80k_cityscapes-512x1024",
    "sem_fpn": "sem_fpn/fpn_r50_4xb2-80k_cityscapes-512x1024",
    "unet": "unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024",
    "upernet": "upernet/upernet_r50_4xb2-40k_cityscapes-512x1024",
}

_ONNX_OBSTACLES = {
    "apcnet": "it averages over grids in a way that ONNX has for images of one size alone.",
    "dmnet": "its filters are made of each image, and ONNX has convolutions with filters of the model alone.",
    "mobilenet_v3": "its head averages over windows whose size depends on the image's.",
}
"""Why networks do not export to ONNX."""

_POINTREND_SIDE = 192
"""Pixels from which on a chip has the 8196 places that PointRend asks at in its first step."""


def onnx_obstacle(name: str, chip_size: tuple[int, int]) -> str | None:
    """Return why a network trained on chips of (width, height) does not export to ONNX, None where it does."""
    if name == "pointrend" and min(chip_size) < _POINTREND_SIDE:
        return f"it asks at 8196 places of an image, which chips below {_POINTREND_SIDE} pixels do not have."
    return _ONNX_OBSTACLES.get(name)
