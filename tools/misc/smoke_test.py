"""Does an installed mmseg_gc work? Label an image with a packaged config, away from the source."""

import importlib.metadata
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch


def main() -> None:
    import mmseg_gc
    from mmseg_gc.apis import inference_model, init_model
    from mmseg_gc.checkpoint import save_checkpoint
    from mmseg_gc.config import config_folder

    package = Path(mmseg_gc.__file__).parent
    assert package.parent.name == "site-packages", f"not installed, but {package}"
    assert importlib.metadata.version("mmseg_gc") == mmseg_gc.__version__
    for name in ("py.typed", ".mim/tools/train.py", ".mim/tools/dist_train.sh"):
        assert (package / name).is_file(), f"{name} is missing"
    command = Path(sys.executable).with_name("mmseg_gc")
    for words in ([command, "--help"], [sys.executable, "-m", "mmseg_gc", "models", "camvid"]):
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    config = config_folder() / "gcnet/gcnet_r18-d8_1xb8-20k_camvid-360x480.py"
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pth"
        model = init_model(config)
        save_checkpoint({"state_dict": model.state_dict(), "meta": {}}, weights)
        image = np.random.default_rng(0).integers(0, 256, (72, 96, 3), dtype=np.uint8)
        plain, prepared = (
            inference_model(one, image).pred_sem_seg.data
            for one in (model, init_model(config, weights))
        )
    assert plain.shape == (1, 72, 96)
    assert torch.equal(plain, prepared)


if __name__ == "__main__":
    main()
