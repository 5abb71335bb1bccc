"""Measurements for the bundled model's card; each script prints a table and can write JSON."""
