"""What was measured as text, tables, charts, JSON documents and web pages."""
