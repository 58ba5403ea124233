"""The report of runs: one page with everything their folders say."""

from robustill.report.page.page import Page, build_page, write_page

__all__ = ["Page", "build_page", "write_page"]
