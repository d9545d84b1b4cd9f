"""What `mmseg_gc convert cityscapes` does."""

from mmseg_gc.cli.converters.cityscapes import main

if __name__ == "__main__":
    main()
