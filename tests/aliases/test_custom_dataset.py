"""A data set class as people wrote it for 0.x."""

from mmseg_gc.aliases.custom_dataset import CustomDataset


class Roads(CustomDataset):
    CLASSES = ("sky", "road")
    PALETTE = [[0, 0, 0], [255, 0, 0]]

    def __init__(self, **kwargs):
        super().__init__(img_suffix=".png", seg_map_suffix=".png", **kwargs)


def test_its_keys_are_todays(camvid_root):
    old = Roads(data_root=str(camvid_root), img_dir="val", ann_dir="valannot")
    new = Roads(
        data_root=str(camvid_root), data_prefix=dict(img_path="val", seg_map_path="valannot")
    )
    assert old.metainfo["classes"] == ["sky", "road"]
    assert old.metainfo["palette"] == [[0, 0, 0], [255, 0, 0]]
    assert len(old) == 2 and old.get_data_info(0) == new.get_data_info(0)


def test_lists_and_names_given_on_the_spot(camvid_root, tmp_path):
    (tmp_path / "s.txt").write_text("0001TP_006690\n")
    dataset = CustomDataset(
        [],
        str(camvid_root / "train"),
        ".png",
        str(camvid_root / "trainannot"),
        split=str(tmp_path / "s.txt"),
        classes=["a", "b"],
    )
    assert len(dataset) == 1 and dataset.metainfo["classes"] == ["a", "b"]
