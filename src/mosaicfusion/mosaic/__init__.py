"""What canvas number i shows: its categories, its prompts and its geometry."""
