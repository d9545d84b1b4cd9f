"""The checks of ``parity.py``: what both packages compute, and how the results are compared.

``worker``, ``side`` and the modules that `worker.CHECKS` names also run in the reference's
environment, so they import neither `mmseg_gc` nor what only its environment has.
"""
