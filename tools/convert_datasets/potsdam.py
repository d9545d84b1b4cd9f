"""What `mmseg_gc convert potsdam` does."""

from mmseg_gc.cli.converters.potsdam import main

if __name__ == "__main__":
    main()
