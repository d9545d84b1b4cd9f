"""What `mmseg_gc convert voc_aug` does."""

from mmseg_gc.cli.converters.voc_aug import main

if __name__ == "__main__":
    main()
