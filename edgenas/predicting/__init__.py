"""Asking an exported net about images: which artefact of a run, its session, and what images there are.

Nothing here needs PyTorch where the artefact's runtime does not.
"""
