"""The only place that reads or writes weights.

Reading never runs code: a file is read by this package's own reader, which knows tensors, plain
data and what mmengine stores, and nothing else; mmengine's loaders, which fall back to plain
unpickling, are replaced. Writing is atomic: a reader sees the old file or the new one.
"""

from mmseg_gc.atomic import write_atomically
from mmseg_gc.checkpoint.addresses import load_checkpoint
from mmseg_gc.checkpoint.download import sha256_of
from mmseg_gc.checkpoint.files import DamagedCheckpointError, read_checkpoint, save_checkpoint
from mmseg_gc.checkpoint.loading import load_backbone, load_into, publish_checkpoint
from mmseg_gc.checkpoint.names import clean_state_dict

__all__ = [
    "DamagedCheckpointError",
    "clean_state_dict",
    "load_backbone",
    "load_checkpoint",
    "load_into",
    "publish_checkpoint",
    "read_checkpoint",
    "save_checkpoint",
    "sha256_of",
    "write_atomically",
]
