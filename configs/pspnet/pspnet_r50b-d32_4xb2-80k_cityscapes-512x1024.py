_base_ = [
    "../_base_/models/pspnet_r50-d8.py",
    "../_base_/datasets/cityscapes.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/schedule_80k.py",
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    pretrained="torchvision://resnet50",
    backbone=dict(type="ResNet", strides=(1, 2, 2, 2)),
)
