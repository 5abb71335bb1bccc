"""The figures of the bundled model's card, a script a question; each prints a table and can write JSON."""
