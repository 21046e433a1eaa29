"""What ``bench`` measured, as text, tables, JSON and a page."""
