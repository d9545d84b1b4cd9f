# DANet (https://arxiv.org/abs/1809.02983).
_base_ = "./fcn_r50-d8.py"
model = dict(
    decode_head=dict(
        _delete_=True,
        type="DAHead",
        in_channels=2048,
        in_index=3,
        channels=512,
        pam_channels=64,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    )
)
