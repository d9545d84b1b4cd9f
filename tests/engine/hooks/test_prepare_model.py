from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mmseg_gc.engine.hooks import prepare_model
from mmseg_gc.engine.hooks.prepare_model import PrepareModelHook


@pytest.mark.parametrize(
    ("options", "cfg", "wanted"),
    [
        ({}, {}, dict(precision="fp32", compile=False, accelerate="auto")),
        ({}, dict(accelerate="none"), dict(precision="fp32", compile=False, accelerate="none")),
        (
            dict(precision="bf16", compile=True, accelerate="auto"),
            dict(accelerate="none"),
            dict(precision="bf16", compile=True, accelerate="auto"),
        ),
    ],
)
def test_what_the_model_is_prepared_with(
    options: dict, cfg: dict, wanted: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(
        prepare_model,
        "prepare_for_inference",
        lambda model, **kwargs: calls.append((model, kwargs)),
    )
    model = object()
    PrepareModelHook(**options).before_test(SimpleNamespace(model=model, cfg=Config(cfg)))
    assert calls == [(model, wanted)]
