"""What `mmseg_gc convert ade20k` does."""

from mmseg_gc.cli.converters.ade20k import main

if __name__ == "__main__":
    main()
