# FastFCN (https://arxiv.org/abs/1903.11816).
_base_ = "./fcn_r50-d8.py"
model = dict(
    backbone=dict(strides=(1, 2, 2, 2), out_indices=(1, 2, 3)),
    neck=dict(
        type="JPU",
        in_channels=[512, 1024, 2048],
        mid_channels=512,
        start_level=0,
        end_level=-1,
        dilations=(1, 2, 4, 8),
        align_corners=False,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
    ),
    decode_head=dict(
        _delete_=True,
        type="PSPHead",
        in_channels=2048,
        in_index=2,
        channels=512,
        pool_scales=(1, 2, 3, 6),
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=dict(in_index=1),
)
