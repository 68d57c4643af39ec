"""Conformance suites that every plug-in must pass."""
