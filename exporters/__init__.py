"""Deployment formats and runtimes, found through the entry points `edgenas.exporters` and `edgenas.runtimes`."""
