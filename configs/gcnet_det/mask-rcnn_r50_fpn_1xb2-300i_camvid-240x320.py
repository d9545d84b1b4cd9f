_base_ = [
    "../_base_/models/mask-rcnn_r50_fpn_small.py",
    "../_base_/datasets/camvid_instance.py",
    "../_base_/schedules/schedule_camvid_instance.py",
]
