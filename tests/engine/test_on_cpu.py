import torch

from mmseg_gc.engine.on_cpu import on_cpu


def test_tensors_at_any_depth_leave_their_device():
    """With tensors that note who asks for their copy on the CPU in place of those of a GPU."""
    asked = []

    class OnGpu(torch.Tensor):
        def cpu(self):
            asked.append(self.item())
            return torch.tensor(self.item())

    def there(value: float) -> torch.Tensor:
        return torch.tensor(value).as_subclass(OnGpu)

    weights = torch.nn.Linear(1, 1).state_dict()
    versions = weights._metadata
    checkpoint = dict(
        optimizer=dict(state={0: dict(step=there(1.0), steps=[there(2.0), "x"])}),
        meta=dict(iter=3),
        state_dict=weights,
    )
    moved = on_cpu(checkpoint)
    assert sorted(asked) == [1.0, 2.0]
    state = moved["optimizer"]["state"][0]
    assert type(state["step"]) is torch.Tensor and type(state["steps"][0]) is torch.Tensor
    assert state["steps"][1] == "x" and moved["meta"] == dict(iter=3)
    assert moved["state_dict"]._metadata == versions
    assert type(checkpoint["optimizer"]["state"][0]["step"]) is OnGpu  # left as it was
