from mmseg_gc.visualization.local_visualizer import SegLocalVisualizer

__all__ = ["SegLocalVisualizer"]
