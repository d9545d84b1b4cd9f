# What `make demo` trains: a small GCNet on drawn street scenes, from random weights.
_base_ = [
    "../_base_/models/gcnet_r18-d8.py",
    "../_base_/datasets/demo_scenes.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/schedule_demo.py",
]
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=_base_.crop_size),
    test_cfg=dict(mode="slide", crop_size=(160, 160), stride=(160, 80)),
)
