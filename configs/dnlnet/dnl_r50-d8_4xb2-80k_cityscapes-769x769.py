# Without mmsegmentation's wd_mult for theta and phi, which nothing reads.
_base_ = [
    "../_base_/models/dnl_r50-d8.py",
    "../_base_/datasets/cityscapes_769x769.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/schedule_80k.py",
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(align_corners=True),
    auxiliary_head=dict(align_corners=True),
    test_cfg=dict(mode="slide", crop_size=(769, 769), stride=(513, 513)),
)
