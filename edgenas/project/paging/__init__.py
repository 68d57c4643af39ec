"""The page of all results: what it shows, gathered from a run folder, when it is written, and whether it is still of the run."""
