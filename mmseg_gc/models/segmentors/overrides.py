"""Find out whether somebody has put a way of his own in place of a method."""


def overrides(part: object, base: type, *names: str) -> bool:
    """Whether a subclass of ``base``, or ``part`` itself, has another method of these ``names``.

    A ``part`` that is no ``base`` at all overrides what it has.
    """
    for name in names:
        method = getattr(part, name, None)
        if method is not None and getattr(method, "__func__", method) is not getattr(base, name):
            return True
    return False
