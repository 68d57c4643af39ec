"""What a search in a run folder rests on: limits with their tables, where it starts, judging and proving its finalists."""
