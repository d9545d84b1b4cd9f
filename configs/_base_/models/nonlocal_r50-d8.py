# NonLocalNet (https://arxiv.org/abs/1711.07971).
_base_ = "./fcn_r50-d8.py"
model = dict(
    decode_head=dict(
        _delete_=True,
        type="NLHead",
        in_channels=2048,
        in_index=3,
        channels=512,
        dropout_ratio=0.1,
        reduction=2,
        use_scale=True,
        mode="embedded_gaussian",
        num_classes=19,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    )
)
