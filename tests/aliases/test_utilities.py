import pytest
import torch
from mmengine.registry import DefaultScope

from mmseg_gc.aliases import utilities
from mmseg_gc.datasets import CityscapesDataset


def test_register_all_modules():
    with DefaultScope.overwrite_default_scope("mmengine"):
        utilities.register_all_modules(init_default_scope=False)
        assert DefaultScope.get_current_instance().scope_name == "mmengine"


def test_names_and_colours_of_data_sets():
    facts = CityscapesDataset.METAINFO
    assert utilities.get_classes("cityscapes") == list(facts["classes"])
    assert utilities.get_classes("CityscapesDataset") == list(facts["classes"])
    assert utilities.get_palette("cityscapes")[0] == list(facts["palette"][0])
    with pytest.raises((ValueError, RuntimeError), match="nowhere"):
        utilities.get_classes("nowhere")


def test_a_function_for_each_data_set():
    assert utilities.ade_classes() == utilities.get_classes("ade")
    assert utilities.voc_palette() == utilities.get_palette("voc")
    for name in ("nowhere_classes", "ade_x", "classes"):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
            getattr(utilities, name)


def test_colours_of_another_data_set():
    meta = dict(classes=("a",), palette=[[1, 2, 3]])
    assert utilities.with_palette_of(None, meta) == meta
    other = utilities.with_palette_of("voc", meta)
    assert other == dict(classes=("a",), palette=utilities.get_palette("voc"))


def test_a_batch_is_padded_right_and_below(labelled):
    """With 255 in labels and ``pad_val`` in images, to the size, a multiple, or the largest."""
    images = [torch.ones(3, 5, 7, dtype=torch.uint8), torch.ones(3, 6, 4, dtype=torch.uint8)]
    for options, size in (
        (dict(size=(8, 9)), (8, 9)),
        (dict(size_divisor=4), (8, 8)),
        ({}, (6, 7)),
    ):
        samples = [labelled(torch.ones(image.shape[1:], dtype=torch.uint8)) for image in images]
        batch, packed = utilities.stack_batch(images, samples, pad_val=2, **options)
        assert batch.shape == (2, 3, *size) and batch.dtype == torch.uint8
        for image, one, sample in zip(images, batch, packed, strict=True):
            height, width = image.shape[1:]
            inside = torch.zeros(size, dtype=torch.bool)
            inside[:height, :width] = True
            assert (one[:, inside] == 1).all() and (one[:, ~inside] == 2).all()
            label = sample.gt_sem_seg.data[0]
            assert (label[inside] == 1).all() and (label[~inside] == 255).all()
    assert utilities.stack_batch(images)[1] is None


@pytest.mark.parametrize(
    ("short", "name"),
    [
        ("ade20k", "ADE20KDataset"), ("VOC12aug", "PascalVOCDataset"),
        ("vaihingen", "ISPRSDataset"),
        ("pcontext", "PascalContextDataset59"), ("coco-stuff164k", "COCOStuffDataset"),
        ("iSAID", "iSAIDDataset"), ("HSI-Drive20", "HSIDrive20Dataset"), ("LIP", "LIPDataset"),
    ],
)  # fmt: skip
def test_short_names_of_data_sets(short, name):
    assert utilities.get_classes(short) == utilities.get_classes(name)
    assert len(utilities.get_palette(short)) == len(utilities.get_classes(name))


def test_add_prefix():
    assert utilities.add_prefix({"loss": 1}, "aux") == {"aux.loss": 1}


def test_all_of_it_exists():
    for name in utilities.__all__:
        assert hasattr(utilities, name)
    assert utilities.get_root_logger().name
