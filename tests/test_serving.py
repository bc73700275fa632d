"""``sigmabench serve``: follows a run, answers this machine alone, reads one folder alone, writes nothing."""

import http.client
import json
import threading
from contextlib import contextmanager

import pytest

from sigmabench.eval.errors import UsageError
from sigmabench.eval.runner import Runner
from sigmabench.eval.serving import server
from sigmabench.eval.serving.live import PAUSE, SHARE, Live, so_far
from sigmabench.eval.store import Store
from sigmabench.eval.sweep import Sweep


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def begin(folder, images=6, save_images=False):
    sweep = Sweep(
        models="gaussian_mixture(size=8)", samplers=["euler", "heun"], steps=[2, 4], scales=1, images=images,
        metrics="luminance", save_images=save_images,
    )  # fmt: skip
    return Runner(sweep, folder)


@pytest.fixture
def run(tmp_path):
    """Two of four cells are done."""
    runner = begin(tmp_path / "run")
    runner.begin(runner.plan.runnable, 6)
    runner.extend(runner.plan.runnable[:2], 6, lambda images, cell: None)
    return runner


@contextmanager
def serving(live):
    with server.listen(live, 0) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening.server_port
        listening.shutdown()


def ask(port, path, method="GET", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{port}"})
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def test_the_page_follows_a_run_while_it_goes_on(run, tmp_path):
    clock = Clock()
    live = Live(run.folder, tmp_path / "out", clock)
    first = live.look()
    assert (first["images"], first["of"], first["cells"], first["of_cells"]) == (12, 24, 2, 4)
    assert first["version"] == 0
    assert live.renew()
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "2 cells" in page
    clock.now = 100.0
    assert not live.renew()  # nothing new
    run.extend(run.plan.runnable, 6, lambda images, cell: None)
    clock.now = 112.0
    assert live.look()["images"] == 24
    assert live.look()["rate"] == pytest.approx(12 / 112)
    assert live.renew()
    assert "4 cells" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert live.look()["version"] == 2
    assert not (run.folder / "report.html").exists()


def test_it_sees_a_sweep_that_has_grown(run, tmp_path):
    live = Live(run.folder, tmp_path / "out", Clock())
    grown = begin(run.folder, images=8)
    grown.begin(grown.plan.runnable, 8)
    assert live.look()["of"] == 32


def test_cells_are_compared_on_the_images_that_half_of_them_have(run):
    plan, store = run.plan, Store(run.folder)
    assert len(so_far(plan, store).cells) == 2
    more = begin(run.folder, images=12)
    more.extend(more.plan.runnable[:1], 12, lambda images, cell: None)
    found = so_far(more.plan, store)
    assert (found.sweep.images, [p.cell.key for p in found.cells]) == (6, [p.cell.key for p in plan.cells[:2]])
    more.extend(more.plan.runnable[:3], 12, lambda images, cell: None)
    assert (so_far(more.plan, store).sweep.images, len(so_far(more.plan, store).cells)) == (12, 3)


def test_publishing_leaves_the_machine_to_the_workers(run, tmp_path, monkeypatch):
    from sigmabench.eval.serving import live as module

    clock, count = Clock(), []
    live = Live(run.folder, tmp_path / "out", clock)

    def slow(plan, folder, out, read_at):
        count.append(clock.now)
        clock.now += 10

    monkeypatch.setattr(module, "publish", slow)
    monkeypatch.setattr(live, "_stops", lambda: {"": int(clock.now)})
    monkeypatch.setattr(module, "so_far", lambda plan, store: plan)
    while clock.now < 2000:
        clock.now += PAUSE
        live.renew()
    assert len(count) <= 2000 * SHARE / 10 + 1


def test_it_answers_the_page_its_progress_and_the_report(run, tmp_path):
    live = Live(run.folder, tmp_path / "out")
    live.renew()
    with serving(live) as port:
        status, headers, body = ask(port, "/")
        assert (status, b'<script src="page.js">' in body) == (200, True)
        assert "default-src 'none'" in body.decode()
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert json.loads(ask(port, "/progress.json")[2])["images"] == 12
        assert ask(port, "/report.html")[2] == (tmp_path / "out" / "report.html").read_bytes()
        assert ask(port, "/report.html", "HEAD")[2] == b""
        assert ask(port, "/", host=f"localhost:{port}")[0] == 200


def test_other_hosts_are_refused_and_nothing_can_be_written(run, tmp_path):
    hosts = ("evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1.evil.example:{port}", " ")
    with serving(Live(run.folder, tmp_path / "out")) as port:
        for host in hosts:
            assert ask(port, "/progress.json", host=host.format(port=port))[0] == 421, host
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert ask(port, "/report.html", method)[0] == 501, method
    assert server.ADDRESS == "127.0.0.1"


def test_only_the_report_and_pictures_of_the_run_can_be_read(run, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "secret.html").write_bytes(b"secret")
    (run.folder / "cells" / "seen.png").write_bytes(b"picture")
    (run.folder / "link.png").symlink_to(tmp_path / "secret.png")
    (run.folder / "report.txt").write_text("no")
    live = Live(run.folder, tmp_path / "out")
    live.renew()
    with serving(live) as port:
        assert ask(port, "/cells/seen.png")[2] == b"picture"
        refused = (
            "/../secret.png", "/%2e%2e/secret.png", "/..%2fsecret.html", "//etc/passwd", "/link.png", "/report.txt",
            "/sweep.yaml", "/plan.json", "/cells", "/%00.png", "/" + "a" * 5000 + ".png", f"/{tmp_path}/secret.png",
        )  # fmt: skip
        for path in refused:
            assert ask(port, path)[0] == 404, path


def test_the_page_finds_saved_images_of_the_run(tmp_path):
    runner = begin(tmp_path / "run", images=2, save_images=True)
    runner.extend(runner.plan.runnable[:1], 2, lambda images, cell: None)
    live = Live(runner.folder, tmp_path / "out")
    live.renew()
    address = f"cells/{runner.plan.runnable[0].cell.key}/images"
    with serving(live) as port:
        assert address in ask(port, "/report.html")[2].decode()
        assert ask(port, f"/{address}/0000000.png")[2].startswith(b"\x89PNG")


def test_a_taken_port_and_a_folder_without_a_run_are_named(run, tmp_path):
    live = Live(run.folder, tmp_path / "out")
    with (
        serving(live) as port,
        pytest.raises(UsageError, match=f"cannot listen on port {port}: .*choose another --port"),
    ):
        server.listen(live, port)
    with pytest.raises(UsageError, match="holds no readable run"):
        server.serve(tmp_path / "nowhere", 0, print)
