"""How long the commands in a run folder would take."""
