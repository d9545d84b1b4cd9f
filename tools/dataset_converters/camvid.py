"""What `mmseg_gc convert camvid` does."""

from mmseg_gc.cli.converters.camvid import main

if __name__ == "__main__":
    main()
