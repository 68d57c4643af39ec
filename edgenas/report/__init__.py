"""Terminal tables, progress and plots, drawn from records."""
