"""A result or a sweep as one page that needs nothing beside it: HTML or Markdown."""

from bench.pages.document import Document
from bench.pages.html import as_html
from bench.pages.markdown import as_markdown
from bench.pages.result_page import result_page
from bench.pages.sweep_page import MeasuredCell, sweep_page

__all__ = ["Document", "MeasuredCell", "as_html", "as_markdown", "result_page", "sweep_page"]
