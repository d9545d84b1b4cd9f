_base_ = [
    "../_base_/models/ocrnet_r50-d8.py",
    "../_base_/datasets/cityscapes.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/schedule_80k.py",
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    pretrained="open-mmlab://resnet101_v1c",
    backbone=dict(depth=101),
)
optim_wrapper = dict(optimizer=dict(lr=0.02))
param_scheduler = [
    dict(type="PolyLR", eta_min=0.0002, power=0.9, begin=0, end=40000, by_epoch=False)
]
