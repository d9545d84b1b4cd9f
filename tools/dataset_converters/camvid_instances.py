"""What `mmseg_gc convert camvid_instances` does."""

from mmseg_gc.cli.converters.camvid_instances import main

if __name__ == "__main__":
    main()
