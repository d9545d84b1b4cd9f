"""Write the classes in docs/migrating-table.md: which of mmsegmentation 1.x's are here.

The names are those in its registries (1.2.2 and its fork, onedl-mmsegmentation 1.4.2). `--check`
writes nothing and exits with 1 where the table is not what this package's registries say.
"""

import sys
from pathlib import Path

from mmseg_gc import registry

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/migrating-table.md"
BEGIN, END = "<!-- classes: tools/misc/write_migrating_table.py -->\n", "<!-- end of classes -->"
NAMES = {
    "segmentors": (
        registry.MODELS,
        "CascadeEncoderDecoder DepthEstimator EncoderDecoder MultimodalEncoderDecoder SegTTAModel",
    ),
    "backbones": (
        registry.MODELS,
        "BEiT BiSeNetV1 BiSeNetV2 CGNet DDRNet ERFNet FastSCNN HRNet ICNet MAE MSCAN "
        "MixVisionTransformer MobileNetV2 MobileNetV3 PCPVT PIDNet ResNeSt ResNeXt ResNet "
        "ResNetV1c ResNetV1d STDCContextPathNet STDCNet SVT SwinTransformer TIMMBackbone UNet VPD "
        "VisionTransformer",
    ),
    "necks": (registry.MODELS, "FPN Feature2Pyramid ICNeck JPU MLANeck MultiLevelNeck"),
    "heads": (
        registry.MODELS,
        "ANNHead APCHead ASPPHead CCHead DAHead DDRHead DMHead DNLHead DPTHead "
        "DepthwiseSeparableASPPHead DepthwiseSeparableFCNHead EMAHead EncHead FCNHead FPNHead "
        "GCHead ISAHead IterativeDecodeHead KernelUpdateHead KernelUpdator LRASPPHead LightHamHead "
        "Mask2FormerHead MaskFormerHead "
        "NLHead OCRHead PIDHead PSAHead PSPHead PointHead SETRMLAHead SETRUPHead STDCHead "
        "SegformerHead SegmenterMaskTransformerHead SideAdapterCLIPHead UPerHead VPDDepthHead",
    ),
    "losses": (
        registry.MODELS,
        "BoundaryLoss CrossEntropyLoss DiceLoss FocalLoss HuasdorffDisstanceLoss KLDivLoss "
        "LovaszLoss OhemCrossEntropy SiLogLoss TverskyLoss",
    ),
    "layers and encoders": (registry.MODELS, "CLIPTextEncoder DeconvModule InterpConv QuickGELU"),
    "samplers and assigners": (
        registry.TASK_UTILS,
        "ClassificationCost CrossEntropyLossCost DiceCost HungarianAssigner OHEMPixelSampler",
    ),
    "data preprocessors": (registry.MODELS, "SegDataPreProcessor"),
    "data sets": (
        registry.DATASETS,
        "ADE20KDataset BDD100KDataset BaseCDDataset BaseSegDataset COCOStuffDataset "
        "ChaseDB1Dataset CityscapesDataset ConcatDataset DRIVEDataset DSDLSegDataset "
        "DarkZurichDataset DecathlonDataset HRFDataset HSIDrive20Dataset ISPRSDataset "
        "LEVIRCDDataset LIPDataset LoveDADataset MapillaryDataset_v1 MapillaryDataset_v2 "
        "MultiImageMixDataset NYUDataset NightDrivingDataset PascalContextDataset "
        "PascalContextDataset59 PascalVOCDataset PotsdamDataset REFUGEDataset RepeatDataset "
        "STAREDataset SynapseDataset iSAIDDataset",
    ),
    "transforms": (
        registry.TRANSFORMS,
        "AdjustGamma Albu BioMedical3DPad BioMedical3DRandomCrop BioMedical3DRandomFlip "
        "BioMedicalGaussianBlur BioMedicalGaussianNoise BioMedicalRandomGamma CLAHE ConcatCDInput "
        "GenerateEdge InferencerLoader LoadAnnotations LoadBiomedicalAnnotation LoadBiomedicalData "
        "LoadBiomedicalImageFromFile LoadDepthAnnotation LoadImageFromFile LoadImageFromNDArray "
        "LoadImageFromNpyFile LoadMultipleRSImageFromFile LoadSingleRSImageFromFile Normalize "
        "PackSegInputs Pad PhotoMetricDistortion RGB2Gray RandomChoice RandomChoiceResize "
        "RandomCrop RandomCutOut RandomDepthMix RandomFlip RandomMosaic RandomResize RandomRotFlip "
        "RandomRotate Rerange Resize ResizeShortestEdge ResizeToMultiple SegRescale TestTimeAug",
    ),
    "hooks": (
        registry.HOOKS,
        "CheckpointHook EMAHook EarlyStoppingHook IterTimerHook LoggerHook ParamSchedulerHook "
        "SegVisualizationHook",
    ),
    "metrics": (registry.METRICS, "CityscapesMetric DepthMetric IoUMetric"),
    "visualizers": (registry.VISUALIZERS, "SegLocalVisualizer"),
    "optimizers' constructors": (
        registry.OPTIM_WRAPPER_CONSTRUCTORS,
        "DefaultOptimWrapperConstructor ForceDefaultOptimWrapperConstructor "
        "LayerDecayOptimizerConstructor LearningRateDecayOptimizerConstructor",
    ),
    "schedulers": (
        registry.PARAM_SCHEDULERS,
        "ConstantLR CosineAnnealingLR LinearLR MultiStepLR OneCycleLR PolyLR PolyLRRatio",
    ),
}


def is_here(kind: registry.Registry, name: str) -> bool:
    """Whether the registry or a parent of it, mmengine's or mmcv's, has ``name``."""
    return kind.get(name) is not None


def table() -> str:
    """The rows of all kinds."""
    rows = ["| kind | same name and keys | absent |\n", "|---|---|---|\n"]
    for kind, (where, text) in NAMES.items():
        names = text.split()
        cells = [
            ", ".join(f"`{name}`" for name in names if is_here(where, name) is wanted) or "-"
            for wanted in (True, False)
        ]
        rows.append(f"| {kind} | {' | '.join(cells)} |\n")
    return "".join(rows)


def main() -> int:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{PAGE} lacks the lines {BEGIN.strip()} and {END}"
    text = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if "--check" in sys.argv[1:]:
        if PAGE.read_text() != text:
            print(f"docs/{PAGE.name} is behind: python tools/misc/write_migrating_table.py")
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
