"""docs/performance.md: its beginning is written by one measurement, and each "## " section after that by another, or by hand."""
import pathlib

PAGE = pathlib.Path("docs/performance.md")


def _cut(text, heading):
    """Before the section, the section, after it."""
    at = text.find(heading)
    if at < 0:
        return text, "", ""
    end = text.find("\n## ", at + len(heading))
    return (text[:at], text[at:], "") if end < 0 else (text[:at], text[at:end], text[end:])


def section(heading):
    """What the page has below `heading`, which is a line of its own ("\\n## Title\\n") and part of the answer; nothing when it has none."""
    return _cut(PAGE.read_text(), heading)[1]


def write_section(heading, text):
    """In its place, or at the end."""
    before, _, after = _cut(PAGE.read_text(), heading)
    PAGE.write_text(before + text + after)
    print(f"written: {PAGE}")


def write_beginning(text):
    """What stands before all sections."""
    _, mark, sections = PAGE.read_text().partition("\n## ")
    PAGE.write_text(text + mark + sections)
    print(f"written: {PAGE}")
