"""What other programs get wrong and ours gets right, both sides of it. A repair of theirs turns its test red."""

from pathlib import Path

import pytest

import sigmabench
from sigmabench.eval.faults.fault import outcome
from sigmabench.eval.faults.hosts import MissingPeerError, version
from sigmabench.eval.faults.registry import FAULTS
from sigmabench.eval.faults.table import read

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Should have"),
]
TABLE = Path(sigmabench.__file__).parent / "reports" / "peers" / "faults.csv"


@pytest.fixture
def fault(request):
    """The fault of this name; skipped where its peer is missing, which measures of ours follow too."""
    try:
        version(FAULTS[request.param].peer)
    except MissingPeerError as error:
        pytest.skip(str(error))
    return FAULTS[request.param]


@pytest.fixture
def told(fault):
    """Its row of the table, where the version on this machine has one."""
    rows = {(row["fault"], row["version"]): row for row in read(TABLE)}
    return rows.get((fault.name, version(fault.peer)), {})


@pytest.mark.parametrize("fault", FAULTS, indirect=True)
def test_ours_is_right(fault, told):
    ours = fault.ours()
    assert fault.right(ours), f"{fault.measure}: {ours}, right is {fault.bound}"
    assert_in_the_table(ours, told.get("ours"))


@pytest.mark.parametrize("fault", FAULTS, indirect=True)
def test_the_peer_is_wrong_by_the_number_of_its_row(fault, told):
    """A repair of theirs fails here; then the row goes."""
    theirs = outcome(fault.theirs)
    if isinstance(theirs, str):
        assert theirs == fault.raises, "another exception than the fault's"
        assert theirs == told.get("theirs", theirs)
        return
    assert not fault.right(theirs), f"{fault.measure}: {theirs} is right; the row goes"
    assert_in_the_table(theirs, told.get("theirs"))


def assert_in_the_table(number, text):
    """What is rounding alone stands there as 0."""
    if text is not None:
        assert number == pytest.approx(float(text), rel=0.02, abs=1e-3, nan_ok=True)


def test_the_table_has_every_fault_and_no_other():
    rows = read(TABLE)
    assert list(dict.fromkeys(row["fault"] for row in rows)) == list(FAULTS)
    for row in rows:
        fault = FAULTS[row["fault"]]
        assert (row["wrong"], row["component"]) == (fault.wrong, fault.component)
        assert fault.right(float(row["ours"]))
        assert row["theirs"] == fault.raises or not fault.right(float(row["theirs"]))
