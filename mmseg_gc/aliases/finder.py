"""Let ``import mmseg`` in user code find this package, where no mmsegmentation is installed.

A module has the same dotted path here and there, or the one that `PLACES` names. What is found is
the module itself, not a copy: its classes and registries are this package's.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

THEIRS, OURS = "mmseg", "mmseg_gc"
# Its modules of data sets, which are rows of a table here.
NAMED_DATASETS = (
    "ade bdd100k chase_db1 cityscapes coco_stuff dark_zurich drive hrf hsi_drive isaid isprs levir "
    "lip loveda mapillary night_driving nyu pascal_context potsdam refuge stare synapse voc"
)
# Paths of mmsegmentation, below its own name, that are others here. The last block is of 0.x.
PLACES = {
    **{f"datasets.{name}": "datasets.named" for name in NAMED_DATASETS.split()},
    "datasets.basesegdataset": "datasets",
    "datasets.decathlon": "datasets.listed",
    "datasets.dsdl": "datasets.listed",
    "datasets.dataset_wrappers": "datasets",
    "datasets.transforms.transforms": "datasets.transforms",
    "engine.hooks.visualization_hook": "engine.hooks.visualization",
    "evaluation.metrics": "evaluation",
    "evaluation.metrics.citys_metric": "evaluation.cityscapes_metric",
    "evaluation.metrics.iou_metric": "evaluation.iou_metric",
    "apis.mmseg_inferencer": "apis.inferencer",
    "models.builder": "aliases.builders",
    "models.losses.cross_entropy_loss": "models.losses.cross_entropy",
    "models.losses.huasdorff_distance_loss": "models.losses.hausdorff_distance_loss",
    "models.losses.ohem_cross_entropy_loss": "models.losses.ohem_cross_entropy",
    "models.losses.utils": "models.losses.reduction",
    "models.segmentors.seg_tta": "models.segmentors.tta",
    "models.utils": "models.layers",
    "models.utils.res_layer": "models.layers.res_layer",
    "models.utils.wrappers": "models.layers.resize",
    "registry.registry": "registry",
    "structures.sampler": "models.samplers",
    "structures.sampler.base_pixel_sampler": "models.samplers",
    "structures.sampler.ohem_pixel_sampler": "models.samplers",
    "structures.seg_data_sample": "structures",
    "utils": "aliases.utilities",
    "utils.class_names": "aliases.utilities",
    "utils.collect_env": "aliases.utilities",
    "utils.misc": "aliases.utilities",
    "utils.set_env": "aliases.utilities",
    "utils.typing_utils": "aliases.utilities",
    "core": "aliases.utilities",
    "datasets.builder": "aliases.builders",
    "datasets.custom": "aliases.custom_dataset",
    "datasets.pipelines": "datasets.transforms",
    "datasets.pipelines.compose": "mmengine.dataset",
    "datasets.pipelines.formating": "datasets.transforms",
    "datasets.pipelines.formatting": "datasets.transforms",
    "datasets.pipelines.loading": "datasets.transforms",
    "datasets.pipelines.transforms": "datasets.transforms",
    "ops": "models.layers",
    "ops.wrappers": "models.layers.resize",
}


def own_path(name: str) -> str:
    """The module that stands for ``name``, which begins with ``mmseg.`` or ``mmseg_gc.``."""
    rest = name.partition(".")[2]
    place = PLACES.get(rest, rest)
    return place if place.startswith("mmengine.") else f"{OURS}.{place}"


def installed_mmseg() -> str | None:
    """Where a real mmsegmentation is, which then is what ``mmseg`` means; None without one."""
    for finder in sys.meta_path:
        if not isinstance(finder, MmsegFinder) and hasattr(finder, "find_spec"):
            spec = finder.find_spec(THEIRS, None)
            if spec is not None and spec.origin is not None:  # a folder of that name has none
                return spec.origin
    return None


class MmsegFinder(MetaPathFinder):
    """Finds ``mmseg`` and all below it, and below ``mmseg_gc`` the paths in `PLACES`.

    It stands before the finder of files, which would read this package's files a second time.
    """

    def __init__(self) -> None:
        self.told = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top, _, rest = name.partition(".")
        if top == THEIRS:
            return self._spec_of_theirs(name, rest)
        if top == OURS and rest in PLACES:
            return _alias(name, own_path(name))
        return None

    def _spec_of_theirs(self, name: str, rest: str) -> ModuleSpec | None:
        if not rest:
            place = installed_mmseg()
            if place is None:
                return _alias(name, f"{OURS}.aliases.package")
            self._tell(place)
            return None
        top = sys.modules.get(THEIRS)
        if top is None or top.__name__ != f"{OURS}.aliases.package":
            return None
        own = own_path(name)
        try:
            found = find_spec(own)
        except ModuleNotFoundError:
            found = None
        return _alias(name, own) if found is not None else None

    def _tell(self, place: str) -> None:
        if not self.told:
            from mmengine.logging import print_log

            self.told = True
            print_log(
                f"`import mmseg` is the mmsegmentation in {place}, whose classes and registries "
                f"aren't {OURS}'s; uninstall it to have them taken from {OURS}.",
                logger="current",
            )


class _AliasLoader(Loader):
    """Hands out the module ``own``, as it is."""

    def __init__(self, own: str) -> None:
        self.own = own
        self.kept: dict = {}

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.own)
        # The import system notes the alias on the module, which goes by its own name.
        self.kept = {k: module.__dict__.get(k) for k in ("__spec__", "__loader__", "__package__")}
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__.update(self.kept)
        if module.__name__ == f"{OURS}.registry":
            importlib.import_module(f"{OURS}.aliases.scope").add_scope()


def _alias(name: str, own: str) -> ModuleSpec:
    rest = name.partition(".")[2]
    # What is a file here may be a folder there: its `__path__` lets the import system look below.
    is_package = any(place.startswith(f"{rest}.") for place in PLACES)
    return ModuleSpec(name, _AliasLoader(own), is_package=is_package or not rest)


def install() -> None:
    """Put the finder in front, once."""
    if not any(isinstance(finder, MmsegFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, MmsegFinder())
