"""Draw a data set as the network sees it: what `mmseg_gc browse` does."""

from mmseg_gc.cli.browse import main

if __name__ == "__main__":
    main()
