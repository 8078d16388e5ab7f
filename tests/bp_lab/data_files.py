"""What the tests of data sources share: small arrays, judgements, damage."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from bp_lab.data import Dataset, Split, load
from bp_lab.errors import InputError

FUZZ = settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def small(n=20, classes=3, shape=(4,)):
    size = int(np.prod(shape))
    x = (np.arange(n * size) % 256).reshape(n, *shape).astype(np.uint8)
    return x, np.arange(n) % classes


def complaint_of(source):
    with pytest.raises(InputError) as caught:
        load(source)
    message = str(caught.value)
    assert ": expected " in message
    assert ", got " in message
    assert "\n" not in message
    return message


def expect_sound(dataset):
    assert isinstance(dataset, Dataset)
    features = {split.x.shape[1] for split in (dataset.train, dataset.validation, dataset.test)}
    assert len(features) == 1
    for split in (dataset.train, dataset.validation, dataset.test):
        assert isinstance(split, Split)
        assert split.x.dtype == np.float32
        assert split.y.dtype == np.int32
        assert len(split.x) == len(split.y) > 0
        assert np.isfinite(split.x).all()
        assert 0 <= split.y.min() <= split.y.max() < dataset.classes
    if dataset.image_shape is not None:
        assert features == {dataset.image_shape[0] * dataset.image_shape[1]}


def try_source(path: Path):
    try:
        dataset = load(path)
    except InputError:
        return
    expect_sound(dataset)


def damaged(content, flips):
    data = bytearray(content)
    for position, value in flips:
        data[position % len(data)] = value
    return bytes(data)


FLIPS = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=6)
