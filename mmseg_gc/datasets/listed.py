"""Data sets that a file of their own describes: its images, its labels and its classes."""

import json
import os.path as osp
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from mmengine.fileio import get_text

from mmseg_gc.datasets.base import BaseSegDataset
from mmseg_gc.errors import UserError
from mmseg_gc.registry import DATASETS


@DATASETS.register_module()
class DecathlonDataset(BaseSegDataset):
    """The Medical Segmentation Decathlon, by the ``dataset.json`` that ``ann_file`` names.

    With ``test_mode`` it is the images without labels. The volumes are NIfTI files: the pipeline
    needs a loader for them, which is not in this package.

    Raises:
        UserError: ``ann_file`` is no such file.

    Source: ``mmseg.datasets.DecathlonDataset``.
    """

    def __init__(
        self,
        ann_file: str = "",
        data_root: str = "",
        metainfo: dict | None = None,
        test_mode: bool = False,
        backend_args: dict | None = None,
        **kwargs: Any,
    ) -> None:
        # `**kwargs` are `BaseSegDataset`'s.
        path = osp.join(data_root, ann_file)
        try:
            listed = json.loads(get_text(path, backend_args=backend_args))
            self.samples = [
                {"image": one} if isinstance(one, str) else {**one}
                for one in listed["test" if test_mode else "training"]
            ]
            labels = {int(number): name for number, name in listed["labels"].items()}
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{self._name}: {path} is no dataset.json of the Decathlon ({error!r}): correct "
                "data_root or ann_file, or get it again."
            ) from None
        super().__init__(
            ann_file,
            data_root=data_root,
            metainfo={"classes": [labels[number] for number in sorted(labels)], **(metainfo or {})},
            test_mode=test_mode,
            backend_args=backend_args,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """The paths ``img_path`` and, unless ``test_mode``, ``seg_map_path`` of every sample."""
        keys = {"image": "img_path", "label": "seg_map_path"}
        return [
            {
                keys[kind]: osp.join(self.data_root, path.removeprefix("./"))
                for kind, path in sample.items()
                if kind in keys
            }
            for sample in self.samples
        ]


@DATASETS.register_module()
class DSDLSegDataset(BaseSegDataset):
    """A data set described in OpenDataLab's language DSDL, by the file that ``ann_file`` names.

    ``used_labels`` are the classes to tell apart, of those that the file has; pixels of the others
    are ignored. The package ``dsdl`` reads the file.

    Raises:
        UserError: the package isn't installed, or a label isn't the file's.

    Source: ``mmseg.datasets.DSDLSegDataset``.
    """

    def __init__(
        self,
        ann_file: str = "",
        specific_key_path: Mapping[str, Any] | None = None,
        pre_transform: Mapping[str, Any] | None = None,
        used_labels: Sequence[str] | None = None,
        data_root: str | None = None,
        ignore_index: int = 255,
        **kwargs: Any,
    ) -> None:
        # `**kwargs` are `BaseSegDataset`'s.
        if find_spec("dsdl") is None:
            raise UserError(f"{self._name} needs a package: pip install dsdl.")
        from dsdl.dataset import DSDLDataset

        self.described = DSDLDataset(
            dsdl_yaml=osp.join(data_root or "", ann_file),
            location_config=dict(type="LocalFileReader", working_dir=""),
            required_fields=["Image", "LabelMap"],
            specific_key_path=specific_key_path or {},
            transform=pre_transform or {},
        )
        every = ["background", *self.described.class_names]
        used = list(used_labels or every)
        if unknown := [name for name in used if name not in every]:
            raise UserError(
                f"{self._name}.used_labels names {unknown}, which {ann_file} does not have: choose "
                f"from {every}."
            )
        if used != every:
            new_ids = {name: number for number, name in enumerate(used)}
            kwargs["label_map"] = {
                number: new_ids.get(name, ignore_index) for number, name in enumerate(every)
            }
        super().__init__(
            ann_file,
            data_root=data_root,
            metainfo={"classes": used, **(kwargs.pop("metainfo", None) or {})},
            ignore_index=ignore_index,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """The paths ``img_path`` and ``seg_map_path`` of every sample."""
        fields = {"img_path": "Image", "seg_map_path": "LabelMap"}
        return [
            {
                key: osp.join(self.data_prefix[key], sample[field][0].location)
                for key, field in fields.items()
                if key in self.data_prefix
            }
            for sample in self.described
        ]
