"""The nets of a run folder that are trained to the end, beside those that no search has found."""
