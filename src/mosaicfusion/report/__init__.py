"""The HTML report of a run and the attention figure of one canvas. Never imports torch."""
