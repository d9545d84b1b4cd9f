"""A test's report: one page that opens offline, and its figures beside it."""

from mmseg_gc.report.comparison import write_comparison
from mmseg_gc.report.files import check_target
from mmseg_gc.report.hook import ReportHook
from mmseg_gc.report.request import request_report, tell_of_report

__all__ = ["ReportHook", "check_target", "request_report", "tell_of_report", "write_comparison"]
