"""Where a training may make the host wait for its GPU: all places there are, and why."""

HOST_WAITS = {
    "engine/late_values.py": "a log line is due: all values since the last one, in one copy for "
    "each type of number",
    "engine/rank_flags.py": "before a checkpoint or a validation; otherwise for the iteration "
    "before, which the GPU has finished by then",
    "engine/hooks/nonfinite_loss.py": "an optimizer without a fused step: whether it has to be "
    "left out",
    "torch/amp/grad_scaler.py": "such an optimizer under a gradient scaler: whether gradients "
    "overflowed",
}
