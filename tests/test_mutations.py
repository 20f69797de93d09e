"""The deliberate faults can still be made; `python -m tests.mutations` makes them."""

import pytest

from tests.mutations import FAULTS, ROOT


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_place_of_a_fault_is_there(fault):
    assert fault.right in (ROOT / fault.file).read_text(encoding="utf-8")
    assert (ROOT / fault.tests.partition("::")[0]).is_file()
