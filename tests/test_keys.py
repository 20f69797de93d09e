"""A method's keys: read from its file without importing it, and judged by what is written of each."""

import math

import pytest

from man_jax import methods
from man_jax.keys import Key, key_problem, read_keys, read_needs


@pytest.mark.parametrize("name", methods.names())
def test_the_keys_read_from_a_method_s_file_are_those_of_the_module(name):
    assert methods.keys_of(name) == methods.find(name).KEYS


def test_the_files_of_the_folder_are_the_methods():
    assert "man" in methods.names()
    assert "__init__" not in methods.names()


def test_keys_are_read_without_running_the_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text('raise SystemExit\nKEYS = {"tau": Key(0.05, "temperature", least=1e-6)}\n')
    assert read_keys(path) == {"tau": Key(0.05, "temperature", least=1e-6)}


def test_needs_are_read_without_running_the_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text('raise SystemExit\nNEEDS = ("views", "cameras")\n')
    assert read_needs(path) == ("views", "cameras")
    path.write_text("KEYS = {}\n")
    assert read_needs(path) == ()
    path.write_text('NEEDS = ("camera",)\n')
    with pytest.raises(
        ValueError, match=r"mine\.py: NEEDS has 'camera'; choose from cameras, source, stages, views"
    ):
        read_needs(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "LEAST = 0\nKEYS = {'tau': Key(1.0, '', least=LEAST)}\n",
            r"mine\.py: KEYS uses a name \(.*'LEAST'.*; write its values out, ",
        ),
        ("KEYS = {'tau': Key(float('inf'), '')}\n", r"mine\.py: KEYS uses a name \(.*'float'"),
        ("", r"mine\.py: there is no table KEYS; begin with KEYS = \{\} and add"),
        ("KEY = {}\n", r"mine\.py: there is no table KEYS"),
    ],
)
def test_a_file_whose_keys_cannot_be_read_alone_is_refused(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_keys(path)


@pytest.mark.parametrize(
    ("value", "key", "told"),
    [
        (0, Key(1.0, "", least=0), None),
        (-0.1, Key(1.0, "", least=0), "config.own.key is -0.1; it must be at least 0 and finite"),
        (math.inf, Key(1.0, "", least=0), "config.own.key is inf; it must be at least 0 and finite"),
        (math.nan, Key(1.0, "", least=0), "config.own.key is nan; it must be at least 0 and finite"),
        (0, Key(0.5, "", least=0, largest=1), None),
        (1, Key(0.5, "", least=0, largest=1), None),
        (1.01, Key(0.5, "", least=0, largest=1), "config.own.key is 1.01; it must be between 0 and 1"),
        (-1, Key(0.5, "", least=0, largest=1), "config.own.key is -1; it must be between 0 and 1"),
        (math.nan, Key(0.5, "", least=0, largest=1), "config.own.key is nan; it must be between 0 and 1"),
        (-5.0, Key(1.0, ""), None),
        (math.inf, Key(1.0, ""), "config.own.key is inf; it must be finite"),
        (1e-6, Key(1.0, "", least=1e-6), None),
        (9e-7, Key(1.0, "", least=1e-6), "config.own.key is 9e-07; it must be at least 1e-06 and finite"),
        ("b", Key("a", "", ("a", "b")), None),
        ("c", Key("a", "", ("a", "b")), "config.own.key is 'c'; choose one of a, b"),
        (True, Key(False, ""), None),
        ("anything", Key("", ""), None),
    ],
)
def test_a_value_is_judged_by_its_choices_or_its_limits(value, key, told):
    assert key_problem("own.key", value, key) == told


@pytest.mark.parametrize("name", methods.names())
def test_every_default_is_a_value_that_its_key_may_have(name):
    for key, each in methods.keys_of(name).items():
        assert key_problem(f"{name}.{key}", each.default, each) is None
        assert each.about, key
