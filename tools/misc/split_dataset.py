"""What `mmseg_gc split` does."""

from mmseg_gc.cli.split import main

if __name__ == "__main__":
    main()
