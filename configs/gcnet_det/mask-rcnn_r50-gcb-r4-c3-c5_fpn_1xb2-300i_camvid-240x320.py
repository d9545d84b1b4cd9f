_base_ = "mask-rcnn_r50_fpn_1xb2-300i_camvid-240x320.py"
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
