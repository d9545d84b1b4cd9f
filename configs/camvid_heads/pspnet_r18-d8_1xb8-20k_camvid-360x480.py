_base_ = [
    "../_base_/models/pspnet_r50-d8.py",
    "../_base_/datasets/camvid.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/schedule_20k.py",
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    pretrained="open-mmlab://resnet18_v1c",
    backbone=dict(depth=18),
    decode_head=dict(in_channels=512, channels=128, num_classes=11, ignore_index=11),
    auxiliary_head=dict(in_channels=256, channels=64, num_classes=11, ignore_index=11),
)
