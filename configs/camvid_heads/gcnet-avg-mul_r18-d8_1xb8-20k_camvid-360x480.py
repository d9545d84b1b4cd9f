# As squeeze and excitation (https://arxiv.org/abs/1709.01507) has it, but for a LayerNorm.
_base_ = "../gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
model = dict(decode_head=dict(pooling_type="avg", fusion_types=("channel_mul",)))
