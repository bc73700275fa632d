"""Claims: one holder at a time, freed by death, by silence and by the end of the work."""

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from sigmabench.eval.claims import Claims


def test_one_of_many_gets_a_claim(tmp_path):
    with Claims(tmp_path) as first, ThreadPoolExecutor(8) as pool:
        workers = [first, *(Claims(tmp_path) for _ in range(7))]
        got = list(pool.map(lambda claims: claims.take("a"), workers))
    assert sum(got) == 1


def test_a_claim_that_is_given_back_can_be_taken(tmp_path):
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take("a")
        assert not other.take("a")
        one.release("a")
        assert other.take("a")


def test_none_is_left_behind_when_the_work_ends(tmp_path):
    with Claims(tmp_path) as claims:
        claims.take("a")
        claims.take("b")
    assert not list(tmp_path.iterdir())


def test_the_claim_of_a_dead_process_is_free_at_once(tmp_path):
    take = "import sys, pathlib; from sigmabench.eval.claims import Claims; Claims(pathlib.Path(sys.argv[1])).take('a')"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", take, str(tmp_path)], env=environment, check=True)
    assert (tmp_path / "a").exists()
    with Claims(tmp_path) as claims:
        assert claims.take("a")


def test_the_claim_of_a_silent_machine_is_free_after_the_lease_and_not_before(tmp_path):
    (tmp_path / "a").write_text('{"host": "another machine", "pid": 1}')
    with Claims(tmp_path, lease=0.3) as claims:
        assert not claims.take("a")
        time.sleep(0.15)
        assert not claims.take("a")
        time.sleep(0.25)
        assert claims.take("a")


def test_the_clocks_of_two_machines_need_not_agree(tmp_path):
    (tmp_path / "a").write_text('{"host": "another machine", "pid": 1}')
    os.utime(tmp_path / "a", (0, 0))
    with Claims(tmp_path) as claims:
        assert not claims.take("a")


def test_a_claim_outlives_the_lease_while_its_holder_shows_life(tmp_path):
    with Claims(tmp_path, lease=0.4) as holder, Claims(tmp_path, lease=0.4) as other:
        holder.take("a")
        text = (tmp_path / "a").read_text().replace('"host": "', '"host": "not ')  # so that the lease decides
        (tmp_path / "a").write_text(text)
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            assert not other.take("a")
            time.sleep(0.05)


def test_a_claim_whose_maker_did_not_live_to_sign_it_is_soon_free(tmp_path, monkeypatch):
    monkeypatch.setattr("sigmabench.eval.claims.UNSIGNED", 0.2)
    (tmp_path / "a").touch()
    with Claims(tmp_path) as claims:
        assert not claims.take("a")
        time.sleep(0.25)
        assert claims.take("a")


def test_who_comes_late_to_an_abandoned_claim_leaves_the_new_one_in_place(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "a").write_text(json.dumps({"host": socket.gethostname(), "pid": gone.pid}))
    with Claims(tmp_path) as first, Claims(tmp_path) as late:
        seen = late._abandoned(tmp_path / "a")
        assert first.take("a")
        assert not late._clear(tmp_path / "a", seen)
        assert json.loads((tmp_path / "a").read_text())["pid"] == os.getpid()
        assert not late.take("a")
