"""What `mmseg_gc convert coco_stuff164k` does."""

from mmseg_gc.cli.converters.coco_stuff164k import main

if __name__ == "__main__":
    main()
