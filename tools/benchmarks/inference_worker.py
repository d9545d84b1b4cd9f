"""One side of compare_inference.py: labels images with mmsegmentation or with this package."""

import contextlib
import importlib
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from measures import memory_peak, wait_for
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from side_by_side import serve

# Of each row: config, image (h, w), the way of testing.
IMAGES = {
    "whole": ("gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py", (512, 1024)),
    "slide": ("gcnet_r50-d8_4xb2-40k_cityscapes-769x769.py", (1024, 2048)),
    "ms+flip": ("gcnet_r50-d8_4xb2-40k_cityscapes-512x1024.py", (360, 480)),
}
# Of each row: classes, the network's scores (h, w), the label map (h, w).
SCORES = {"19 classes": (19, (128, 256), (1024, 2048)), "150 classes": (150, (64, 86), (512, 683))}
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def exported_name(side: str, *, align_corners: bool) -> str:
    """What the network of a ``side`` such as "openvino int8" is called beside its weights."""
    suffix = ".xml" if side.startswith("openvino") else ".onnx"
    return f"{side.replace(' ', '_')}_{align_corners}{suffix}"


class Side:
    """``package`` is mmseg or mmseg_gc; ``precision`` fp32, bf16 or fp16: autocast for mmseg.

    ``config`` is a file in place of the rows' own, which are those of GCNet in ``configs``;
    ``clock`` is a name of `CLOCKS`.
    ``runtime``, such as "openvino int8", has mmseg_gc run the exported network beside ``weights``.
    """

    def __init__(
        self,
        package: str,
        configs: str,
        weights: str,
        precision: str,
        device: str,
        runtime: str = "",
        config: str = "",
        clock: str = "wall",
    ):
        self.package = package
        self.configs = Path(configs)
        self.config = config
        self.clock = CLOCKS[clock]
        self.weights = weights
        self.precision = "fp32" if precision == "int8" else precision
        self.runtime = runtime
        self.device = device
        self.ours = package == "mmseg_gc"
        self.apis = importlib.import_module(f"{package}.apis")
        if not self.ours:
            importlib.import_module("mmseg.utils").register_all_modules(init_default_scope=True)

    def load(self, row: str) -> tuple:
        """Build the model of a row and its image; a `measures.Peak` of that."""
        return memory_peak(lambda: self._load(row), self.device)

    def _load(self, row: str) -> None:
        name, (height, width) = IMAGES[row]
        cfg = Config.fromfile(self.config or self.configs / name)
        cfg.model.pretrained = None
        if row == "whole":  # at its own size
            steps = cfg.test_dataloader.dataset.pipeline
            steps = [step for step in steps if step["type"] != "Resize"]
            cfg.test_dataloader.dataset.pipeline = cfg.test_pipeline = steps
        extra = {"precision": self.precision} if self.ours else {}
        weights = Path(self.weights)
        if self.runtime:
            weights = weights.parent / exported_name(self.runtime, align_corners=row == "slide")
        self.model = self.apis.init_model(cfg, str(weights), device=self.device, **extra)
        self.image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        self.row = row
        if row == "ms+flip" and not self.ours:
            self._tta(cfg)

    def _tta(self, cfg: Config) -> None:
        # mmsegmentation's API has no ms+flip: this is what its test.py builds.
        models = importlib.import_module("mmseg.registry").MODELS
        self.tta = models.build({**cfg.tta_model, "module": self.model}).eval()
        steps = [dict(type="LoadImageFromNDArray"), *cfg.tta_pipeline[1:]]
        branches = steps[1]["transforms"]
        steps[1]["transforms"] = [b for b in branches if b[0]["type"] != "LoadAnnotations"]
        self.views = Compose(steps)

    def label(self) -> None:
        """Make ``labels`` (H, W) of the image."""
        context = contextlib.nullcontext()
        if not self.ours and self.precision != "fp32":
            context = torch.autocast(torch.device(self.device).type, PRECISIONS[self.precision])
        with context:
            if self.row != "ms+flip":
                result = self.apis.inference_model(self.model, self.image)
            elif self.ours:
                result = self.apis.inference_model(self.model, self.image, aug_test=True)
            else:
                with torch.no_grad():
                    data = pseudo_collate([self.views(dict(img=self.image))])
                    result = self.tta.test_step(data)[0]
        labels = result.pred_sem_seg.data.squeeze(0)
        wait_for(self.device)
        self.labels = labels

    def seconds(self) -> float:
        start = self.clock()
        self.label()
        return self.clock() - start

    def memory(self) -> tuple:
        """A `measures.Peak` beside the loaded, idle model."""
        return memory_peak(self.label, self.device)

    def save_labels(self, path: str) -> None:
        np.save(path, self.labels.cpu().numpy().astype(np.uint8))

    def load_scores(self, row: str) -> None:
        """Scores of a network and true labels, both smooth as a street's are."""
        num_classes, small, size = SCORES[row]
        generator = torch.Generator().manual_seed(0)
        coarse = torch.randn(1, num_classes, small[0] // 8, small[1] // 8, generator=generator)
        self.scores = torch.nn.functional.interpolate(coarse, small, mode="bicubic")
        self.scores += 0.1 * torch.randn(self.scores.shape, generator=generator)
        self.truth = torch.randint(0, num_classes, size, generator=generator, dtype=torch.uint8)
        self.size, self.num_classes = size, num_classes
        self.scores, self.truth = self.scores.to(self.device), self.truth.to(self.device)
        self.counted_seconds()

    def counted_seconds(self) -> float:
        """Scores to labels to what the metric keeps: the median of five times in a row."""
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            self._counted() if self.ours else self._counted_by_mmseg()
            wait_for(self.device)
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    def _counted(self) -> torch.Tensor:
        from mmseg_gc.evaluation.confusion import confusion_counts
        from mmseg_gc.inference import ResampledLogits, label_image

        logits = ResampledLogits(self.scores[0]).resized(self.size, align_corners=False)
        return confusion_counts(label_image(logits, None)[0], self.truth, self.num_classes, 255)

    def _counted_by_mmseg(self) -> tuple:
        from mmseg.evaluation import IoUMetric
        from mmseg.models.utils import resize

        # The steps of decode_head.predict_by_feat, postprocess_result and IoUMetric.process, where
        # labels come as int64.
        scores = resize(self.scores, size=self.size, mode="bilinear", align_corners=False)
        scores = resize(scores, size=self.size, mode="bilinear", align_corners=False, warning=False)
        labels = scores.squeeze(0).argmax(dim=0, keepdim=True)
        truth = self.truth.long()
        return IoUMetric.intersect_and_union(labels.squeeze(), truth, self.num_classes, 255)


def main() -> None:
    sides = []  # made when first asked for: by then what the packages print goes to stderr
    questions = ("load", "seconds", "memory", "save_labels", "load_scores", "counted_seconds")
    serve(
        {"start": lambda **kwargs: sides.append(Side(**kwargs))}
        | {
            name: lambda name=name, **kwargs: getattr(sides[0], name)(**kwargs)
            for name in questions
        }
    )


if __name__ == "__main__":
    main()
