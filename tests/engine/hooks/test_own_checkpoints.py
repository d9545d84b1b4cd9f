import pytest

from mmseg_gc.engine.hooks.own_checkpoints import own_file, own_steps, step_of


@pytest.mark.parametrize(
    ("stored", "best_of", "found"),
    [
        ("/elsewhere/iter_8.pth", None, "iter_8.pth"),  # the folder was copied
        ("iter_x.pth", None, None),
        ("../secret.pth", None, None),
        ("iter_9.pth", None, None),  # it isn't there
        (8, None, None),
        ("best_val_mIoU_iter_8.pth", "val/mIoU", "best_val_mIoU_iter_8.pth"),
        ("best_val_mIoU_iter_8.pth", "auto", "best_val_mIoU_iter_8.pth"),
        ("best_val_mIoU_iter_8.pth", "aAcc", None),
        ("iter_8.pth", "val/mIoU", None),
    ],
)
def test_only_files_of_the_hook_are_its_own(tmp_path, stored, best_of, found):
    for name in ("iter_8.pth", "iter_x.pth", "best_val_mIoU_iter_8.pth"):
        (tmp_path / name).touch()
    (tmp_path.parent / "secret.pth").touch()
    expected = None if found is None else str(tmp_path / found)
    assert own_file(str(tmp_path), stored, "iter_{}.pth", best_of) == expected


def test_kept_steps_are_numbers():
    assert own_steps([2, "3", -1, True, 4.0, 8]) == [2, 8]
    assert own_steps((1,)) == [1] and own_steps("12") == own_steps(None) == []


def test_the_number_of_a_checkpoint():
    assert step_of("a/iter_40000.pth") == 40000
    assert step_of("best_mIoU_iter_7.pth") == 7 and step_of("latest.pth") == -1
