import pytest
from absl import flags

from man_jax import evaluation_flags
from man_jax.retrieval.settings import Expansion, Reranking


@pytest.fixture
def parse():
    """Parses words as a command with both flags does."""
    values = flags.FlagValues()
    for define, name in (
        (evaluation_flags.define_rerank, "rerank"),
        (evaluation_flags.define_expansion, "qe"),
    ):
        define(name, "", flag_values=values)

    def parse(*words: str):
        values(["evaluate", *words])
        return values["rerank"].value, values["qe"].value

    return parse


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), (None, None)),
        (("--rerank",), (Reranking(20, 6, 0.3), None)),
        (("--norerank",), (None, None)),
        (("--rerank=50,15,0.25",), (Reranking(50, 15, 0.25), None)),
        (("--rerank=50,15,1",), (Reranking(50, 15, 1.0), None)),
        (("--qe=10",), (None, Expansion(10, 0.0))),
        (("--qe", "10,3", "--rerank"), (Reranking(), Expansion(10, 3.0))),
    ],
)
def test_values_are_read_as_they_are_written(parse, words, expected):
    assert parse(*words) == expected


@pytest.mark.parametrize(
    ("word", "example"),
    [
        ("--rerank=20,6", "as in --rerank=20,6,0.3"),
        ("--rerank=20,6,-1", "as in --rerank=20,6,0.3"),
        ("--rerank=20,6,nan", "as in --rerank=20,6,0.3"),
        ("--rerank=", "as in --rerank=20,6,0.3"),
        ("--qe=ten", "as in --query_expansion=10"),
        ("--qe=10,-3", "as in --query_expansion=10"),
    ],
)
def test_what_is_written_otherwise_is_answered_with_an_example(parse, word, example):
    with pytest.raises(flags.IllegalFlagValueError, match=example):
        parse(word)
