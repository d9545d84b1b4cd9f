import json


def test_every_line_has_speed_and_memory(toy, tmp_path):
    toy.build(tmp_path, 4, batch_size=3, val_interval=100).train()
    lines = next(tmp_path.rglob("scalars.json")).read_text().splitlines()
    logged = [line for line in map(json.loads, lines) if "loss" in line]
    assert [line["iter"] for line in logged] == [1, 2, 3, 4]
    for line in logged:
        assert {"lr", "loss", "time", "data_time", "memory", "images/s"} <= line.keys()
    assert abs(logged[0]["images/s"] * logged[0]["time"] - 3) < 1e-6
    assert logged[0]["memory"] > 50
