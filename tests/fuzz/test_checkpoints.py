"""Damaged and hostile checkpoints: one sentence or the right content, and no code is run."""

import io
import json
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from harness import PLANTED, fuzz, fuzz_in_child, run_child

from mmseg_gc.checkpoint import clean_state_dict, read_checkpoint


class Payload:
    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self):
        return (open, (str(self.trap), "w"))


def whole() -> dict:
    from mmengine.logging import HistoryBuffer

    return {
        "meta": {"iter": 2, "epoch": 0, "seed": 3, "dataset_meta": {"classes": ("a", "b")}},
        "state_dict": torch.nn.BatchNorm2d(4).state_dict(),
        "message_hub": {
            "log_scalars": {"loss": HistoryBuffer([1.0, 2.0], [1, 1])},
            "runtime_info": {"best_score": np.float64(0.5)},
            "resumed_keys": {"loss": True},
        },
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(4)}}, "param_groups": []},
    }


def saved(content: object, rng: random.Random) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=rng.random() < 0.6)
    return file.getvalue()


def odd(rng: random.Random, trap: Path) -> object:
    return rng.choice(
        [
            None,
            -1,
            2**70,
            float("nan"),
            "text",
            b"bytes",
            [],
            {},
            {3: 4},
            (1, "a"),
            {1, 2},
            torch.tensor([float("inf")]),
            torch.empty(0),
            torch.eye(2).to_sparse(),
            torch.empty(2, device="meta"),
            np.zeros((2, 0)),
            np.array(["a"]),
            np.array([None]),
            Payload(trap),
            print,
            int,
            torch.nn.ReLU,
            torch.ones(1).expand(1 << 26),
        ]
    )


def flipped(rng: random.Random, trap: Path) -> bytes:
    content = bytearray(saved(whole(), rng))
    for _ in range(rng.choice((1, 1, 3, 30))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def cut(rng: random.Random, trap: Path) -> bytes:
    content = saved(whole(), rng)
    start, stop = sorted(rng.randrange(len(content)) for _ in range(2))
    return rng.choice((content[:start], content[start:], content[:start] + content[stop:]))


def restructured(rng: random.Random, trap: Path) -> bytes:
    content = whole()
    for _ in range(rng.choice((1, 2))):
        part = content
        while True:
            keys = [key for key in part if isinstance(part[key], dict) and part[key]]
            if not keys or rng.random() < 0.4:
                break
            part = part[rng.choice(keys)]
        action = rng.randrange(3)
        if action == 0 and part:
            del part[rng.choice(list(part))]
        elif action == 1:
            part[rng.choice([7, None, "odd", b"x", ("a", 1)])] = odd(rng, trap)
        elif part:
            part[rng.choice(list(part))] = odd(rng, trap)
    return saved(content if rng.random() < 0.95 else odd(rng, trap), rng)


def repickled(rng: random.Random, trap: Path) -> bytes:
    """An archive whose pickle alone is changed, so that its sums are right."""
    file, target = io.BytesIO(), io.BytesIO()
    torch.save(whole(), file)
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(target, "w", packing) as archive:
        for entry in source.infolist():
            content = bytearray(source.read(entry))
            if entry.filename.endswith("data.pkl"):
                for _ in range(rng.choice((1, 2, 8))):
                    place = rng.randrange(len(content))
                    if rng.random() < 0.5:
                        content[place] = rng.randrange(256)
                    else:
                        content[place:place] = rng.choice(OPCODES)
            archive.writestr(entry.filename, bytes(content))
    return target.getvalue()


def unlike(rng: random.Random, trap: Path) -> bytes:
    header = json.dumps({"__metadata__": {"mmseg_gc": "[1"}}).encode()
    return rng.choice(
        [
            b"",
            rng.randbytes(300),
            b"PK\x03\x04" + rng.randbytes(300),
            b"\x80\x02" + rng.randbytes(99),
            pickle.dumps({"state_dict": Payload(trap)}),
            pickle.dumps(whole(), protocol=4),
            pickle.dumps([[]] * 3, protocol=0),
            len(header).to_bytes(8, "little") + header,
            b"\x80\x02" + b"(" * 50_000,
            b"<html>Sign in</html>",
            b"\x80\x02]q\x00h\x00a.",
        ]
    )


OPCODES = [
    b"b",
    b"R",
    b"\x81",
    b"o",
    b"i",
    b"0",
    b"2",
    b"(",
    b"t",
    b"u",
    b"Q",
    b"}",
    b"N",
    b"J\xff",
    b"\x96\xff\xff\xff\xff\xff\xff\x00\x00",
    b"\x8a\xff",
    b"cos\nsystem\n",
    b"r\xff\xff\xff\xff",
    b"cbuiltins\neval\n",
    b"cnumpy\nndarray\n",
    b"\x82\x01",
    b"h\x00",
    b".",
]
KINDS = (flipped, cut, restructured, repickled, unlike)


def case(number: int, folder: Path) -> str:
    rng = random.Random(number)
    kind = KINDS[number % len(KINDS)]
    suffix = ".safetensors" if kind is unlike and rng.random() < 0.3 else ".pth"
    path = folder / f"iter_{number}{suffix}"
    path.write_bytes(kind(rng, folder / PLANTED))
    clean_state_dict(read_checkpoint(path))
    return "read"


def test_a_sample():
    outcomes = fuzz(case, 0, 60)
    assert outcomes["read"] > 3 and outcomes["refused"] > 20


@pytest.mark.slow
def test_eight_hundred():
    outcomes = fuzz_in_child(__file__, 60, 860)
    assert outcomes["read"] > 40 and outcomes["refused"] > 300


if __name__ == "__main__":
    run_child(case)
