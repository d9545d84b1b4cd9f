"""What `mmseg_gc convert vaihingen` does."""

from mmseg_gc.cli.converters.vaihingen import main

if __name__ == "__main__":
    main()
