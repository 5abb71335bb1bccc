"""What a person looks at: the HTML report of a run and the attention figure of one canvas. Never imports torch."""
