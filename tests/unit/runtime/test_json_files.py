import pytest

from tpsm_jax.runtime.json_files import parse_json


def test_json():
    assert parse_json('{"a": [1, null]}') == {"a": [1, None]}


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 100_000, "7" * 10_000])
def test_what_is_none_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse_json(text)
