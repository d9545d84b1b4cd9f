# GC blocks in the encoder, as in detection, rather than in the head: after conv3 of every residual
# block of the last three stages. The heads are plain FCN heads.
_base_ = "gcnet_r50-d8.py"
gc_block = dict(
    cfg=dict(type="ContextBlock", ratio=1 / 4),
    stages=(False, True, True, True),
    position="after_conv3",
)
model = dict(
    backbone=dict(plugins=[gc_block]),
    decode_head=dict(
        _delete_=True,
        type="FCNHead",
        in_channels=2048,
        in_index=3,
        channels=512,
        num_convs=2,
        concat_input=True,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
)
