"""What ``import mmseg`` gives where no mmsegmentation is installed."""

# The mmsegmentation whose names and meanings stand below: user code compares it.
__version__ = "1.2.2"
version_info = (1, 2, 2)
# Files are looked for by `finder` alone.
__path__: list[str] = []
