_base_ = "mask-rcnn_r50-syncbn_fpn_2x_coco.py"
model = dict(
    backbone=dict(
        plugins=[
            dict(
                cfg=dict(type="ContextBlock", ratio=1 / 16),
                stages=(False, True, True, True),
                position="after_conv3",
            )
        ]
    )
)
