"""What `mmseg_gc convert pascal_context` does."""

from mmseg_gc.cli.converters.pascal_context import main

if __name__ == "__main__":
    main()
