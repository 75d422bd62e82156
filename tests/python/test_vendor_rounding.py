"""Our conversions against the vendor's headers, every value of some types; all of them: tools/exactness_rounding.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vendor_rounding
from rheinfall.quantized.fixed_point import OVERFLOWS, ROUNDINGS, FixedType, convert
from vendor_rounding import Source, convert_numpy


@given(
    st.lists(st.integers(-(2**18), 2**18), min_size=1, max_size=8),
    st.integers(-40, 80),
    st.builds(
        FixedType,
        width=st.integers(1, 20),
        integer=st.integers(-20, 20),
        is_signed=st.booleans(),
        rounding=st.sampled_from(ROUNDINGS),
        overflow=st.sampled_from(OVERFLOWS),
    ),
)
def test_the_definition_on_int64_is_that_on_python_integers(
    values: list[int], fraction: int, target: FixedType
) -> None:
    expected = [convert(v, fraction, target) for v in values]
    assert convert_numpy(np.array(values, dtype=np.int64), fraction, target).tolist() == expected


SOURCES = [Source(width, shift, is_signed) for width, shift in ((9, -1), (9, 3), (4, 5)) for is_signed in (True, False)]


@pytest.mark.parametrize("width", [1, 7])
def test_every_mode_gives_the_bits_of_the_vendor(width: int, tmp_path: Path) -> None:
    include = vendor_rounding.headers()
    if include is None:
        pytest.skip("hls4ml, which brings the vendor's headers, is not installed")
    if vendor_rounding.compiler() is None:
        pytest.skip("no C++ compiler")
    n_types = 0
    for source, target, expected in vendor_rounding.convert_by_vendor(
        SOURCES, vendor_rounding.targets(width), tmp_path, include
    ):
        values = vendor_rounding.stored_values(source)
        np.testing.assert_array_equal(convert_numpy(values, source.fraction, target), expected, f"{source} to {target}")
        n_types += 1
    assert n_types == 7 * 4 * 2 * len(SOURCES)
