"""The report beside a trained model: one page, its pictures and its numbers. Importing it costs no drawing library."""

from chipwright.report.page import write_report

__all__ = ["write_report"]
