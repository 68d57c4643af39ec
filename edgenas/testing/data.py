"""What every data source must pass: subclass and give a fixture ``source``."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgenas.data.base import PARTS, ImageSource
from edgenas.data.splits import fingerprint
from edgenas.spaces import SPACES


class DataConformance:
    """Subclass it and give a fixture ``source`` that returns an `ImageSource`."""

    @pytest.fixture
    def source(self) -> ImageSource:
        """The source under test."""
        raise NotImplementedError

    def test_it_is_an_image_source(self, source: ImageSource) -> None:
        """Every attribute is there, and the name says how to open it."""
        assert isinstance(source, ImageSource)
        assert source.name

    def test_labels_are_int64_indices_of_distinct_classes(self, source: ImageSource) -> None:
        """Every class occurs, no label is outside."""
        assert source.labels_N.dtype == np.int64
        assert source.labels_N.ndim == 1
        assert len(set(source.class_names)) == len(source.class_names) >= 2
        assert sorted(set(source.labels_N.tolist())) == list(range(len(source.class_names)))

    def test_there_is_one_distinct_id_for_every_image(self, source: ImageSource) -> None:
        """Ids name images."""
        assert len(source.ids) == len(set(source.ids)) == len(source.labels_N)

    def test_optional_facts_are_given_for_every_image_or_not_at_all(self, source: ImageSource) -> None:
        """Groups, sites, published parts and file keys have one entry an image."""
        for facts in (source.groups, source.sites, source.published_split, source.file_keys):
            assert facts is None or len(facts) == len(source.labels_N)
        assert set(source.published_split or ()) <= set(PARTS)

    def test_a_file_key_is_there_once_in_every_part(self, source: ImageSource) -> None:
        """What is the same file in one part is one image."""
        keys = source.ids if source.file_keys is None else source.file_keys
        parts = ("",) * len(keys) if source.published_split is None else source.published_split
        assert len(set(zip(parts, keys, strict=True))) == len(keys)

    def test_there_are_no_problems_and_every_note_is_a_line(self, source: ImageSource) -> None:
        """A sound source tells what is worth knowing, in lines."""
        assert source.problems == ()
        assert isinstance(source.notes, tuple)
        assert all(len(note.splitlines()) == 1 for note in source.notes)

    def test_a_path_is_that_of_a_file_with_the_content(self, source: ImageSource) -> None:
        """Images that are files give their bytes as content."""
        path = source.path(0)
        assert path is None or path.read_bytes() == source.content(0)

    def test_defaults_fit(self, source: ImageSource) -> None:
        """The default space exists and the default positive class is one of the classes."""
        assert source.default_space in SPACES
        assert source.default_image_px > 0
        assert source.default_positive is None or source.default_positive in source.class_names

    def test_loading_an_image_twice_gives_the_same_pixels(self, source: ImageSource) -> None:
        """The first and the last image decode, the same each time."""
        for index in (0, len(source.labels_N) - 1):
            first, second = source.load(index), source.load(index)
            assert isinstance(first, Image.Image)
            assert np.array_equal(np.asarray(first), np.asarray(second))

    def test_equal_data_have_equal_fingerprints(self, source: ImageSource) -> None:
        """Contents are bytes and do not change by being read."""
        assert isinstance(source.content(0), bytes)
        assert fingerprint(source) == fingerprint(source)
