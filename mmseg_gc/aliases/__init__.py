"""What user code finds under ``mmseg``: this package's modules at mmsegmentation's dotted paths."""
