"""What `mmseg_gc convert coco_stuff10k` does."""

from mmseg_gc.cli.converters.coco_stuff10k import main

if __name__ == "__main__":
    main()
