# The base of a config for your own folders: see docs/own-data.md.
_base_ = [
    "../_base_/models/gcnet_r50-d8.py",
    "../_base_/datasets/folders.py",
    "../_base_/default_runtime.py",
    "../_base_/schedules/schedule_folders.py",
]
num_classes = 2
heads = dict(num_classes=num_classes)
model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=heads, auxiliary_head=heads)
