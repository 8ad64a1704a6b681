from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aims.data.format import decode_instances, decode_tensor, encode_instances, encode_tensor
from aims.data.instances import paper_clicks, split_instances, strict_clicks
from helpers import DTYPES

maps = arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))
shapes = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 11))
tensors = st.sampled_from(DTYPES).flatmap(lambda name: arrays.arrays(np.dtype(name), shapes))


@given(maps)
def test_every_click_lies_in_its_instance(class_map):
    instances = split_instances(class_map)
    for clicks in (paper_clicks(instances), strict_clicks(instances)):
        assert [instances[y, x] for x, y in clicks] == list(range(1, instances.max() + 1))


@given(maps)
def test_instances_are_a_partition_in_order_of_first_pixel(class_map):
    instances = split_instances(class_map)
    np.testing.assert_array_equal(instances == 0, class_map == 0)
    ids, first = np.unique(instances[instances > 0], return_index=True)
    assert ids.tolist() == list(range(1, len(ids) + 1))
    assert sorted(first) == first.tolist()
    for k in ids:
        assert len(np.unique(class_map[instances == k])) == 1
    np.testing.assert_array_equal(split_instances(instances), instances)


@given(tensors)
def test_write_then_read_is_the_identity(array):
    for stored in (array, array.astype(array.dtype.newbyteorder(">")), np.asfortranarray(array)):
        value = encode_tensor(stored)
        back = decode_tensor(value)
        assert back.dtype == array.dtype
        assert back.shape == array.shape
        # Bytes, so that NaN payloads and signed zeros count.
        assert back.tobytes() == array.tobytes()


@given(arrays.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_instance_maps_survive_png(instances):
    np.testing.assert_array_equal(decode_instances(encode_instances(instances)), instances)
