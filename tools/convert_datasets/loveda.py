"""What `mmseg_gc convert loveda` does."""

from mmseg_gc.cli.converters.loveda import main

if __name__ == "__main__":
    main()
