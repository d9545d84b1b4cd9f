"""What processors can do better: oneDNN's fused operators, Winograd's convolutions, less memory."""
