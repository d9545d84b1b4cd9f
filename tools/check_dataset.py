"""Say what is wrong with a data set: what `mmseg_gc check` does."""

from mmseg_gc.cli.check import main

if __name__ == "__main__":
    main()
