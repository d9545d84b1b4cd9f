_base_ = "mmdet::dcn/cascade-mask-rcnn_x101-32x4d-dconv-c3-c5_fpn_1x_coco.py"
norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(backbone=dict(type="mmseg_gc.ResNeXt", norm_cfg=norm_cfg, norm_eval=False))
