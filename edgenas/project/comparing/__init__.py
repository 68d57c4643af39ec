"""Rivals of the searched net: who they are, how they are trained, and what is said of them all."""
