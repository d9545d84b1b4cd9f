# One thing and its background, told apart by two channels and a softmax. Masks hold 0 and 1, or 0
# and 255: `label_map` says that 255 is the thing and nothing is ignored.
_base_ = "./gcnet_r18-d8_1xb4-20k_folders-512x512.py"
label_map = {255: 1}
metainfo = dict(classes=("background", "foreground"), palette=[[0, 0, 0], [255, 0, 0]])
train_dataloader = dict(dataset=dict(label_map=label_map, metainfo=metainfo))
val_dataloader = dict(dataset=dict(label_map=label_map, metainfo=metainfo))
test_dataloader = val_dataloader
