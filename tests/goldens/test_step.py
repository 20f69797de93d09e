import json

import pytest

from tests.goldens.step import FILE, golden_step

CONCLUSION = (
    "training is no longer what it was. If the tests of the formulas pass, look at how step.py and man.py put them "
    "together, at the order of random keys, and at the version of JAX. If the change is meant, write the new figures "
    "with `python -m tests.goldens.step` and say in CHANGELOG.md that results before and after are not comparable"
)


def test_a_step_is_what_it_was_when_it_was_last_looked_at():
    expected, actual = json.loads(FILE.read_text()), golden_step()
    for kind in ("terms", "checksums"):
        assert actual[kind] == pytest.approx(expected[kind], rel=1e-6, abs=1e-9), f"{kind}: {CONCLUSION}"
