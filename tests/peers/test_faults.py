"""What other programs get wrong and ours gets right, both sides of it. A repair of theirs turns its test red."""

import csv
from pathlib import Path

import pytest

import sigmabench
from sigmabench.eval.faults.fault import outcome
from sigmabench.eval.faults.hosts import MissingPeerError, version
from sigmabench.eval.faults.registry import FAULTS

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


@pytest.mark.parametrize("fault", FAULTS, indirect=True)
def test_ours_is_right(fault):
    ours = fault.ours()
    assert fault.right(ours), f"{fault.measure}: {ours}, right is {fault.bound}"


def expected(name, fault):
    return pytest.param(name, marks=pytest.mark.xfail(strict=True, raises=AssertionError, reason=fault.wrong))


@pytest.mark.parametrize("fault", [expected(*item) for item in FAULTS.items()], indirect=True)
def test_the_peer_is_right(fault):
    """Only the number, or the exception that the fault names, is an expected failure."""
    theirs = outcome(fault.theirs)
    if isinstance(theirs, str) and theirs != fault.raises:
        raise RuntimeError(f"{theirs} was raised, which is not the fault")
    assert not isinstance(theirs, str), f"{theirs} was raised"
    assert fault.right(theirs), f"{fault.measure}: {theirs}, right is {fault.bound}"


def test_the_table_has_every_fault_and_no_other():
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(dict.fromkeys(row["fault"] for row in rows)) == list(FAULTS)
    for row in rows:
        fault = FAULTS[row["fault"]]
        assert (row["wrong"], row["component"]) == (fault.wrong, fault.component)
        assert fault.right(float(row["ours"]))
        assert row["theirs"] == fault.raises or not fault.right(float(row["theirs"]))
