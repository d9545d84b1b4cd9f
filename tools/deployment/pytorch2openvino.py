"""Export a segmentor to OpenVINO: `mmseg_gc export --to openvino`, beside its older kin."""

from mmseg_gc.cli.export import main_of_tool

if __name__ == "__main__":
    main_of_tool("openvino")
