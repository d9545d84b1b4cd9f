"""Label images or whole folders; `mmseg_gc predict` has more outputs."""

from mmseg_gc.cli.label import main

if __name__ == "__main__":
    main()
