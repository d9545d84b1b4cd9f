import torch

from mmseg_gc.models import FCNHead, OCRHead
from mmseg_gc.models.decode_heads import Cascade

KEYS = dict(in_channels=4, channels=4, num_classes=3, norm_cfg=dict(type="BN"), dropout_ratio=0)


def test_each_head_sees_what_the_one_before_it_said(labelled) -> None:
    first = FCNHead(**KEYS, num_convs=1, concat_input=False)
    second = OCRHead(**KEYS, ocr_channels=2, align_corners=True)
    cascade = Cascade([first, second]).train()
    calls = []
    first.register_forward_hook(lambda *_: calls.append("first"))
    x, sample = [torch.randn(2, 4, 4, 4)], labelled(torch.randint(3, (8, 8)))
    losses = cascade.losses(x, [sample, sample], None)
    assert calls == ["first"]  # mmsegmentation's looks twice
    assert set(losses) == {f"decode_{i}.{n}" for i in (0, 1) for n in ("loss_ce", "acc_seg")}
    losses["decode_1.loss_ce"].backward()
    assert first.conv_seg.weight.grad.any()  # also through what the second one read
    cascade.eval()
    torch.testing.assert_close(cascade(x), second(x, first(x)))
    torch.testing.assert_close(
        second.predict(x, first(x), [dict(img_shape=(8, 8))]).shape[2:], torch.Size([8, 8])
    )
    assert cascade.align_corners and cascade.num_classes == 3
    assert set(cascade.state_dict()) == {f"0.{k}" for k in first.state_dict()} | {
        f"1.{k}" for k in second.state_dict()
    }
