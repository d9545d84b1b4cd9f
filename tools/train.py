"""Train a segmentor or a detector from a config: what `mmseg_gc train` does."""

from mmseg_gc.cli.train import main

if __name__ == "__main__":
    main()
