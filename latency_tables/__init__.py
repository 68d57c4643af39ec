"""Latency tables measured on real devices, one flat JSON file each."""
