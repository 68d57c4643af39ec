"""Writing the final net of a run folder for deployment, judging what was written, and timing it."""
