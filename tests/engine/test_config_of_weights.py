"""Which runs hold the config of their weights against their own."""

import pytest

from mmseg_gc.config import config_of_weights


@pytest.mark.parametrize("way", ["test", "resume", "fine-tune"])
def test_a_run_tells_it_unless_it_fine_tunes(toy, tmp_path, monkeypatch, way):
    told = []
    monkeypatch.setattr(config_of_weights, "print_log", lambda text, **_: told.append(text))
    monkeypatch.setattr(config_of_weights, "NETWORK", {"dropout"})
    keys = {"val_interval": 2, "model.dropout": 0.5}
    toy.build(tmp_path / "first", 2, **keys).train()
    assert told == []
    keys |= {"load_from": str(tmp_path / "first/iter_2.pth"), "resume": way == "resume"}
    keys["model.dropout"] = 0.25
    runner = toy.build(tmp_path / way, 4, **keys)
    if way == "test":
        runner.load_or_resume()
    else:
        runner.train()
    assert ["model.dropout=0.25, where they had 0.5" in text for text in told] == [True] * (
        way != "fine-tune"
    )
