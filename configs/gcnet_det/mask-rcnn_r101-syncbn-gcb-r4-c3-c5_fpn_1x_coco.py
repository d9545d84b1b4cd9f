_base_ = "mask-rcnn_r101-syncbn_fpn_1x_coco.py"
model = dict(
    backbone=dict(
        plugins=[
            dict(
                cfg=dict(type="ContextBlock", ratio=1 / 4),
                stages=(False, True, True, True),
                position="after_conv3",
            )
        ]
    )
)
