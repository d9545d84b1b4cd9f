"""Test a trained segmentor or detector: what `mmseg_gc test` does."""

from mmseg_gc.cli.test import main

if __name__ == "__main__":
    main()
