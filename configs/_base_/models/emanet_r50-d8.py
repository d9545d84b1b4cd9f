# EMANet (https://arxiv.org/abs/1907.13426).
_base_ = "./fcn_r50-d8.py"
model = dict(
    decode_head=dict(
        _delete_=True,
        type="EMAHead",
        in_channels=2048,
        in_index=3,
        channels=256,
        ema_channels=512,
        num_bases=64,
        num_stages=3,
        momentum=0.1,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    )
)
