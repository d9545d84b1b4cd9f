"""Export a segmentor to ONNX: `mmseg_gc export --to onnx`, by its older name."""

from mmseg_gc.cli.export import main_of_tool

if __name__ == "__main__":
    main_of_tool("onnx")
