"""Self-contained pages made of tables and inline SVG."""
