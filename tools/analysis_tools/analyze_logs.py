"""Plot curves of runs: what `mmseg_gc curves` does."""

from mmseg_gc.cli.curves import main

if __name__ == "__main__":
    main()
