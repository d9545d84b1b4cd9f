"""Lay data sets out as the configs expect them: one module a data set."""
