_base_ = "mask-rcnn_r50-syncbn_fpn_1x_coco.py"
# As in the GCNet authors' files, FPN and mask head have SyncBN as well.
norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    neck=dict(norm_cfg=norm_cfg),
    roi_head=dict(
        bbox_head=dict(type="Shared4Conv1FCBBoxHead", conv_out_channels=256, norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
)
