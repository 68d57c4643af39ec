"""Formats and runtimes: contracts, plug-ins, parity and the artefact folder."""
