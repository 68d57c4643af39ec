"""One HTML file with everything a run has found, drawn from its records: no network, no library, light and dark, to be printed."""
