"""Losses, gradients and steps of training."""

import torch
from mmengine.optim import build_optim_wrapper
from torch import Tensor, nn

from parity_checks.side import NUM_CLASSES, Results, Side

# Values a tensor contributes after each step: all of them, twenty times, would be gigabytes.
SHOWN = 512


def losses(side: Side) -> Results:
    """Every entry of the loss dict, and the norm of the gradient of their sum."""
    values, norms = {}, {}
    for depth, dataset, title in side.models:
        side.say(f"losses of {title}")
        model = side.model(depth, dataset).train()
        values[f"{title}: losses and accuracies"] = {}
        norms[f"{title}: gradient norm of one step"] = {}
        for case in ("no pixel ignored", "some ignored", "all ignored"):
            if side.quick and case == "no pixel ignored":
                continue
            labels = side.inputs[f"{dataset} {case}"]
            torch.manual_seed(2)  # dropout
            found = model.loss(side.inputs["2x65x97"], side.samples([(65, 97)] * 2, labels))
            for name, value in found.items():
                values[f"{title}: losses and accuracies"][f"{name}, {case}"] = value.detach()
            model.zero_grad()
            model.parse_losses(found)[0].backward()
            norms[f"{title}: gradient norm of one step"][case] = _gradient_norm(model)
    return {"losses": values, "gradients": norms}


def _gradient_norm(model: nn.Module) -> Tensor:
    squares = [p.grad.double().square().sum() for p in model.parameters() if p.grad is not None]
    return torch.stack(squares).sum().sqrt()


def steps(side: Side) -> Results:
    """Parameters, statistics and losses after each step of SGD with the poly schedule.

    In float32 a rounding soon puts a unit on the other side of its ReLU. Change the reference's own
    weights by one unit in the last place, and its parameters have moved by 1e-4 after the first of
    these steps, 1e-2 after the second and half their size after 20. So float32 is held to account
    for the first step, and the 20 steps run in float64, where the same change moves them by 4e-14.
    """
    plans = [(18, dataset) for dataset in side.datasets]
    plans += [(depth, "cityscapes") for depth in side.depths if not side.quick]
    state, losses = {}, {}
    for depth, dataset in plans:
        for dtype, kind in ((torch.float64, "float64"), (torch.float32, "float32")):
            count = 1 if kind == "float32" else 5 if side.quick else 20
            title = f"R{depth}-D8, {NUM_CLASSES[dataset]} classes: steps 1 to {count}, {kind}"
            side.say(title)
            found = _train(side, depth, dataset, count, dtype)
            state.setdefault(f"parameters, {kind}", {})[f"{title}, parameters"] = found[0]
            losses.setdefault(f"losses, {kind}", {})[f"{title}, losses"] = found[1]
    return {**state, **losses}


def _train(
    side: Side, depth: int, dataset: str, count: int, dtype: torch.dtype
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    cfg = side.own_config(depth, dataset)
    model = side.model(depth, dataset).train()
    # Images are normalised in float32 either way.
    for part in (model.backbone, model.decode_head, model.auxiliary_head):
        part.to(dtype)
    preprocessor = model.data_preprocessor
    preprocessor.size = (64, 64)
    preprocessor.register_forward_hook(
        lambda module, args, batch: {**batch, "inputs": batch["inputs"].to(dtype)}
    )
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    schedule = cfg.param_scheduler[0]
    schedule.end = 20  # the whole curve, from the first rate to ``eta_min``
    scheduler = side.registry.PARAM_SCHEDULERS.build(
        schedule, default_args=dict(optimizer=optim_wrapper)
    )
    state, losses = {}, {}
    torch.manual_seed(3)  # dropout
    for step in range(count):
        images = list(side.inputs["step images"][step])
        labels = side.inputs[f"{dataset} step labels"][step]
        data = dict(inputs=images, data_samples=side.samples([(64, 57)] * 2, labels))
        found = model.train_step(data, optim_wrapper)
        scheduler.step()
        losses[f"step {step + 1}"] = found["loss"].detach()
        for name, value in model.state_dict().items():
            # A softmax does not depend on this bias: its gradient is rounding alone.
            noise = name.endswith("conv_mask.bias") and dtype is torch.float32
            if value.is_floating_point() and not noise:
                every = max(value.numel() // SHOWN, 1)
                state[f"step {step + 1} {name}"] = value.flatten()[::every].clone()
    return state, losses
