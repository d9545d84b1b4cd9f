from mmseg_gc.aliases import package


def test_the_version_is_that_of_the_names():
    """User code asks for at least 1.0, below 2."""
    assert package.version_info == tuple(map(int, package.__version__.split(".")))
    assert (1, 0, 0) <= package.version_info < (2,)
