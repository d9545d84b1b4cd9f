"""Export a segmentor to TorchScript: `mmseg_gc export --to torchscript`, by its older name."""

from mmseg_gc.cli.export import main_of_tool

if __name__ == "__main__":
    main_of_tool("torchscript")
