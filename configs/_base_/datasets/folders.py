# Your own images: data_root/images/{train,val} and labels of the same names in labels/{train,val}.
# `metainfo` has to name the classes; a palette lets labels be RGB images.
_base_ = "../test_time_aug.py"
dataset_type = "BaseSegDataset"
data_root = "data/own"
data = dict()  # what the data sets have in common, such as metainfo, img_suffix and label_map
train_data = dict()  # of one of them alone, such as its data_prefix or ann_file
val_data = dict()
batch_size = 4
num_workers = 4
img_scale = (2048, 512)
crop_size = (512, 512)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=img_scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=img_scale, keep_ratio=True),
    # After `Resize`: the score is taken at the label's own size.
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset={
        "type": dataset_type,
        "data_root": data_root,
        "data_prefix": dict(img_path="images/train", seg_map_path="labels/train"),
        "pipeline": train_pipeline,
        **data,
        **train_data,
    },
)
val_dataloader = dict(
    batch_size=1,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset={
        "type": dataset_type,
        "data_root": data_root,
        "data_prefix": dict(img_path="images/val", seg_map_path="labels/val"),
        "pipeline": test_pipeline,
        **data,
        **val_data,
    },
)
test_dataloader = val_dataloader

val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
