"""``python -m mmseg_gc``, which is what the command ``mmseg_gc`` runs."""

from mmseg_gc.cli.main import main

if __name__ == "__main__":
    main()
