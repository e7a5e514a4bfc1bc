"""The networks that MMDETECTION has names for: name -> the config that MMDetection ships for it.

Of each the smallest variant with published weights on COCO that its paper's idea is in; two-stage names that stand for a part
(CARAFE, HRNet, RegNet, ...) are Faster R-CNN with that part.
"""

from __future__ import annotations

CONFIGS = {
    "atss": "atss/atss_r50_fpn_1x_coco",
    "carafe": "carafe/faster-rcnn_r50_fpn-carafe_1x_coco",
    "cascade_rcnn": "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco",
    "cascade_rpn": "cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco",
    "dcn": "dcn/faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco",
    "detectors": "detectors/detectors_cascade-rcnn_r50_1x_coco",
    "double_heads": "double_heads/dh-faster-rcnn_r50_fpn_1x_coco",
    "dynamic_rcnn": "dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco",
    "empirical_attention": "empirical_attention/faster-rcnn_r50-attn1111-dcn_fpn_1x_coco",
    "fcos": "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco",
    "foveabox": "foveabox/fovea_r50_fpn_4xb4-1x_coco",
    "fsaf": "fsaf/fsaf_r50_fpn_1x_coco",
    "ghm": "ghm/retinanet_r50_fpn_ghm-1x_coco",
    "hrnet": "hrnet/faster-rcnn_hrnetv2p-w18-1x_coco",
    "libra_rcnn": "libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco",
    "nas_fcos": "nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco",
    "pafpn": "pafpn/faster-rcnn_r50_pafpn_1x_coco",
    "pisa": "pisa/faster-rcnn_r50_fpn_pisa_1x_coco",
    "regnet": "regnet/faster-rcnn_regnetx-3.2GF_fpn_1x_coco",
    "reppoints": "reppoints/reppoints-moment_r50_fpn_1x_coco",
    "res2net": "res2net/faster-rcnn_res2net-101_fpn_2x_coco",
    "sabl": "sabl/sabl-faster-rcnn_r50_fpn_1x_coco",
    "vfnet": "vfnet/vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco",
}
