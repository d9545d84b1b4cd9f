_base_ = "../gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
model = dict(decode_head=dict(ratio=1 / 16))
