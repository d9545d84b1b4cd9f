_base_ = "mmdet::mask_rcnn/mask-rcnn_r101_fpn_1x_coco.py"
norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(backbone=dict(type="mmseg_gc.ResNet", norm_cfg=norm_cfg, norm_eval=False))
