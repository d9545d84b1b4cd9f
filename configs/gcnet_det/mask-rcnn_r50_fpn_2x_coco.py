_base_ = "mmdet::mask_rcnn/mask-rcnn_r50_fpn_2x_coco.py"
model = dict(backbone=dict(type="mmseg_gc.ResNet"))
