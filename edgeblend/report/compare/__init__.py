"""What ``compare`` measured, as text, tables, JSON and a page."""
