"""What building a model does beside it; that it labels images is in test_apis.py."""

from pathlib import Path

import pytest

from mmseg_gc.apis import MMSegInferencer, building, init_model
from mmseg_gc.errors import UserError

CONFIG = Path(__file__).parents[2] / "configs/gcnet/gcnet_r18-d8_1xb4-demo_scenes-128x256.py"


@pytest.mark.parametrize("tf32", [True, False, None])
def test_a_model_of_one_s_own_has_the_config_s_tf32(monkeypatch, tf32):
    chosen = []
    monkeypatch.setattr(building, "set_tf32", chosen.append)
    init_model(CONFIG, cfg_options={"tf32": tf32})
    assert chosen == [tf32]


def test_a_device_is_refused_before_anything_is_read(monkeypatch):
    monkeypatch.setattr(building, "load_config", lambda *args: pytest.fail("read the config"))
    with pytest.raises(UserError, match="'gpu' is no device"):
        init_model("missing.py", device="gpu")
    with pytest.raises(UserError, match="'gpu' is no device"):
        MMSegInferencer("missing.py", device="gpu")
