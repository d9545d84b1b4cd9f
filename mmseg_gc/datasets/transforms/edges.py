"""Where classes meet."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_gc.datasets.transforms.geometric import ignore_index_of
from mmseg_gc.errors import UserError
from mmseg_gc.registry import TRANSFORMS


@TRANSFORMS.register_module()
class GenerateEdge(BaseTransform):
    """Add ``gt_edge_map`` (h, w), uint8: 1 within ``edge_width`` pixels where classes meet, else 0.

    Pixels of ``ignore_index``, or the data set's, meet nothing.

    Source: CE2P, arXiv:1809.05996; ``mmseg.datasets.transforms.GenerateEdge``.
    """

    def __init__(self, edge_width: int = 3, ignore_index: int | None = None) -> None:
        if edge_width < 1:
            raise UserError(f"GenerateEdge.edge_width is {edge_width}: give 1 pixel or more.")
        self.edge_width = edge_width
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        label = results.get("gt_seg_map")
        if label is None:
            raise UserError("GenerateEdge needs a label: put LoadAnnotations before it.")
        known = label != ignore_index_of(self.ignore_index, results)
        edge = np.zeros(label.shape[:2], np.uint8)
        here, ahead, all_of = slice(None, -1), slice(1, None), slice(None)
        # What is compared with what, and which of both is marked.
        for one, other, marked in (
            ((ahead, all_of), (here, all_of), (ahead, all_of)),
            ((all_of, here), (all_of, ahead), (all_of, here)),
            ((here, here), (ahead, ahead), (here, here)),
            ((here, ahead), (ahead, here), (here, ahead)),
        ):
            meets = (label[one] != label[other]) & known[one] & known[other]
            edge[marked] |= meets.astype(np.uint8)
        kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (self.edge_width, self.edge_width))
        results["gt_edge_map"] = cv2.dilate(edge, kernel)
        results["edge_width"] = self.edge_width
        return results
