# As gcnet_r18-d8_1xb4-20k_binary-512x512.py, by one channel and a sigmoid: a pixel is foreground
# where that exceeds `threshold`.
_base_ = "./gcnet_r18-d8_1xb4-20k_binary-512x512.py"
loss = dict(type="CrossEntropyLoss", use_sigmoid=True)
head = dict(num_classes=2, out_channels=1, threshold=0.5)
model = dict(
    decode_head=dict(**head, loss_decode=dict(**loss, loss_weight=1.0)),
    auxiliary_head=dict(**head, loss_decode=dict(**loss, loss_weight=0.4)),
)
