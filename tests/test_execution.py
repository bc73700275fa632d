"""Graphs of a network: used once proven, never for a changed network, and the engine's images stay what they were."""

import inspect
import re
import warnings

import pytest
import torch
from recorded_graphs import TapeRecorder
from torch import nn

from sigmabench.eval.backends.mixture import GaussianMixture
from sigmabench.eval.benchmarks import execution as benchmark
from sigmabench.eval.cells import Cell, samples
from sigmabench.eval.engine import counted, produce
from sigmabench.eval.errors import UsageError
from sigmabench.eval.execution import executed as execution
from sigmabench.eval.execution import proven
from sigmabench.eval.execution.executed import Executed, executed
from sigmabench.eval.execution.graphs import Graph
from sigmabench.eval.execution.signature import call_of
from sigmabench.eval.jobs import Job
from sigmabench.eval.padding import filled, unit_of
from sigmabench.eval.runner import Runner
from sigmabench.eval.store import Store, read_metadata
from sigmabench.eval.sweep import Sweep
from sigmabench.plugins.registry import build
from sigmabench.plugins.replaced import forward_replaced
from sigmabench.samplers.level import Level

CPU = torch.device("cpu")


class Small(nn.Module):
    """A network with a nested argument, one with a default, and an answer of two parts."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(3, 3)
        self.calls = 0

    def forward(self, x, times, added=None, factor=1.0):
        self.calls += 1
        y = self.inner(x) * times[:, None] * factor
        return {"sample": y + added["more"][0] if added else y, "twice": (2 * y,)}


def by_tape(forward):
    record = TapeRecorder()
    by_tape.last = record
    return lambda call: Graph(forward, call, record)


def put(network):
    return execution.execute(network, by_tape), by_tape.last


def numbers(rows, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 3, generator=generator), torch.rand(rows, generator=generator)


@torch.no_grad()
def answers(network, calls):
    return [network(*args, **kwargs) for args, kwargs in calls]


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one["sample"], other["sample"])
        assert torch.equal(one["twice"][0], other["twice"][0])


def test_a_signature_is_run_proven_and_replayed_with_the_same_answers():
    calls = [(numbers(rows, seed), {}) for seed in range(5) for rows in (2, 4)]
    expected = answers(Small(), calls)
    network = Small()
    _, record = put(network)
    with counted(network) as rows:
        found = answers(network, calls)
    same(found, expected)
    assert rows == [2, 4] * 5  # hooks see replayed calls too
    assert (record.recorded, record.replayed) == (2, 2 * 4)
    assert network.calls == 2 * 3  # the usual call, its recording, and the call that proved it


def test_an_answer_is_the_callers_own():
    network = Small()
    put(network)
    *_, third, fourth = answers(network, [(numbers(2, seed), {}) for seed in range(4)])
    kept = third["sample"].clone()
    answers(network, [(numbers(2, 9), {})])
    assert torch.equal(third["sample"], kept)
    assert not torch.equal(third["sample"], fourth["sample"])


def test_nested_tensors_are_given_and_other_values_tell_calls_apart():
    def calls(seed):
        (x, times), more = numbers(2, seed), torch.full((2, 3), float(seed))
        yield (x, times), {"added": {"more": [more]}}
        yield (x, times), {"added": {"more": (more,)}}
        yield (x, times), {"factor": 2.0}
        yield (x, times), {"factor": 3.0}
        yield (x, times), {"factor": 3}
        yield (x.double()[:, :3].float(), times), {}

    every = [call for seed in range(4) for call in calls(seed)]
    expected = answers(Small(), every)
    network = Small()
    _, record = put(network)
    same(answers(network, every), expected)
    assert (record.recorded, record.replayed) == (6, 6 * 3)


@pytest.mark.parametrize("argument", [torch.tensor(2.0, device="meta"), object(), nn.Identity(), {1, 2}])
def test_what_no_signature_says_is_left_to_the_forward(argument):
    assert call_of(numbers(2, 0), {"added": argument}, CPU) is None


def test_a_replaced_forward_is_never_answered_by_a_graph(monkeypatch):
    call = [(numbers(2, 0), {})]
    network = Small()
    _, record = put(network)
    usual = answers(network, call * 3)[-1]
    assert record.replayed == 2

    def changed():
        with forward_replaced(network.inner, lambda x: x + 1):
            return answers(network, call)[0]

    reference = Small()
    with forward_replaced(reference.inner, lambda x: x + 1):
        (expected,) = answers(reference, call)
    same([changed()], [expected])
    same(answers(network, call), [usual])
    monkeypatch.setattr(execution, "anything_replaced", lambda: False)  # what the rule is for
    same([changed()], [usual])


def test_no_graph_is_made_of_a_replaced_forward():
    call = [(numbers(2, 0), {})]
    network = Small()
    _, record = put(network)
    with forward_replaced(network.inner, lambda x: x + 1):
        answers(network, call * 4)
    assert record.recorded == 0


def test_gradients_are_the_forwards():
    network = Small()
    _, record = put(network)
    x, times = numbers(2, 0)
    answers(network, [((x, times), {})] * 3)
    y = x.requires_grad_()
    network(y, times)["sample"].sum().backward()
    assert y.grad.abs().sum() > 0
    assert record.replayed == 2


def test_weights_that_moved_are_not_read_where_they_were():
    call = [(numbers(2, 0), {})]
    network = Small()
    _, record = put(network)
    answers(network, call * 3)
    other = Small()
    with torch.no_grad():
        network.inner.weight.mul_(2)  # where they lie: a graph reads them there
        other.inner.weight.mul_(2)
        same(answers(network, call), answers(other, call))
        assert record.replayed == 3
        network.inner.weight.data = network.inner.weight.data * 2
        other.inner.weight.mul_(2)
    same(answers(network, call), answers(other, call))
    assert (record.recorded, record.replayed) == (2, 3)


def test_autocast_is_part_of_what_a_graph_belongs_to():
    call = [(numbers(2, 0), {})]
    network = Small()
    put(network)
    wide = answers(network, call * 3)[-1]
    with torch.autocast("cpu", torch.bfloat16):
        narrow = answers(network, call)[0]
        same([narrow], answers(Small(), call))
    assert not torch.equal(wide["sample"], narrow["sample"])


class ReadsTheHost(Small):
    def forward(self, x, times):
        return super().forward(x, times * self.calls)


class Waits(Small):
    def forward(self, x, times):
        return super().forward(x, times * times.max().item())


@pytest.mark.parametrize(
    ("kind", "reason", "recorded"), [(ReadsTheHost, "its answer is off by", 1), (Waits, "not permitted", 0)]
)
def test_what_is_not_the_same_or_cannot_be_recorded_stays_as_it_is_with_one_warning(kind, reason, recorded):
    calls = [(numbers(rows, seed), {}) for seed in range(4) for rows in (2, 3)]
    network, reference = kind(), kind()
    _, record = put(network)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for call in calls:
            found = answers(network, [call])
            reference.calls = network.calls - 1  # what the usual call had seen
            if kind is Waits:
                same(found, answers(reference, [call]))
    assert len(seen) == 1
    assert reason in str(seen[0].message)
    assert f"{kind.__name__} is executed as usual from now on" in str(seen[0].message)
    assert record.replayed <= recorded


def test_the_warning_names_what_made_a_capture_fail_and_not_how_it_ended():
    class Ending:
        def __enter__(self):
            return self

        def __exit__(self, *raised):
            raise RuntimeError("capture was invalidated")

    def record(run):
        with Ending():
            raise ValueError("a kernel that waits")

    network = Small()
    execution.execute(network, lambda forward: lambda call: Graph(forward, call, record))
    with pytest.warns(UserWarning, match="executed as usual from now on: ValueError: a kernel that waits"):
        answers(network, [(numbers(2, 0), {})])


def test_a_calls_own_fault_is_raised_and_gives_nothing_up():
    network = Small()
    handle, record = put(network)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        answers(network, [((torch.zeros(2, 7), torch.zeros(2)), {})])
    answers(network, [(numbers(2, 0), {})] * 3)
    assert (handle.proven.given_up, record.replayed) == ("", 2)


def test_graphs_are_few(monkeypatch):
    monkeypatch.setattr(proven, "MOST", 3)
    calls = [(numbers(rows, seed), {}) for seed in range(4) for rows in range(1, 8)]
    expected = answers(Small(), calls)
    network = Small()
    _, record = put(network)
    same(answers(network, calls), expected)
    assert (record.recorded, record.replayed) == (3, 3 * 3)


def test_a_nan_agrees_with_nothing():
    with pytest.raises(ArithmeticError):
        proven.check(torch.tensor([float("nan")]), torch.tensor([1.0]))
    proven.check((torch.ones(2), None), (torch.ones(2) * (1 + 5e-5), None))
    with pytest.raises(ArithmeticError, match=r"off by 0\.0005 of the largest element"):
        proven.check((torch.ones(2),), (torch.ones(2) * (1 + 5e-4),))


@pytest.mark.parametrize(("counts", "unit", "size"), [((3, 2), 4, 8), ((4, 4), 4, 8), ((5,), 1, 5), ((1,), 16, 16)])
def test_calls_are_filled_up_with_their_last_row(counts, unit, size):
    asked = [(torch.randn(n, 3), Level(0.6, 0.8), {"text": torch.randn(n, 2)}) for n in counts]
    found = filled(asked, unit)
    x, text = torch.cat([x for x, _, _ in found]), torch.cat([own["text"] for _, _, own in found])
    assert len(x) == len(text) == size
    rows = sum(counts)
    assert torch.equal(x[:rows], torch.cat([x for x, _, _ in asked]))
    assert torch.equal(x[rows:], asked[-1][0][-1:].expand(size - rows, 3))
    assert torch.equal(text[rows:], asked[-1][2]["text"][-1:].expand(size - rows, 2))


PROMPTS = ["a photo of a cat", "a photo of a ship", "a photo of a frog"]


def embedded_model():
    return build("backend", "embedded").load()


@pytest.fixture(scope="module")
def graphed():
    """The embedded model, executed as graphs on a CPU."""
    model = embedded_model()
    _, record = put(model.network)
    return model, record


def jobs(guidances, count=2):
    drawn = samples(Sweep(images=count, prompts=PROMPTS), PROMPTS, 0, count)
    return [
        Job(Cell("m", sampler, "model", "trailing", steps, guidance, "0", 0, "float32"), drawn[: count - i % 2])
        for i, (guidance, sampler, steps) in enumerate(
            (guidance, *walk) for guidance in guidances for walk in (("euler", 3), ("dpmpp_2m", 4))
        )
    ]


def images(model, work, rows, unit=1):
    done = {id(one.job): one for one in produce(model, work, rows=rows, unit=unit)}
    for one in done.values():
        if one.error:
            raise one.error
    return [done[id(job)].x for job in work]


def test_sweeps_by_graphs_in_filled_calls_give_the_images_of_single_cells(graphed):
    """Changed networks, gradients and plain calls side by side, as near as the engine says."""
    model, record = graphed
    work = jobs(["cfg(3)", "pag", "classifier"])
    before = record.replayed
    with counted(model.network) as rows:
        found = images(model, work, 4, unit=2)
    assert record.replayed - before > 4
    assert all(count % 2 == 0 for count in rows)
    usual = embedded_model()
    for job, x in zip(work, found, strict=True):
        (alone,) = images(usual, [job], 1)
        near = 1e-2 if job.cell.guidance == "classifier" else 1e-4
        assert (x - alone).abs().max() < near * alone.abs().max(), job.cell


def test_a_changed_network_answered_by_a_graph_would_be_found_out(graphed, monkeypatch):
    model, _ = graphed
    work = jobs(["pag(scale=6)"], 1)[:1]
    expected = images(model, work, 1)
    again = images(model, work, 1)
    monkeypatch.setattr(execution, "anything_replaced", lambda: False)
    wrong = images(model, work, 1)
    for one, same_one, other in zip(expected, again, wrong, strict=True):
        assert torch.equal(one, same_one)
        assert (one - other).abs().max() > 1e-2


def test_filled_calls_have_few_sizes():
    model, sizes = GaussianMixture(size=4).load(), {}
    for unit in (1, unit_of(32)):
        drawn = samples(Sweep(images=7, prompts=PROMPTS), PROMPTS, 0, 7)
        cells = [Cell("m", "euler", "model", "trailing", 2 + i % 3, "cfg(3)", "0", 0, "float32") for i in range(6)]
        work = [Job(cell, drawn[: 1 + i]) for i, cell in enumerate(cells)]
        with counted(model.network) as rows:
            images(model, work, 16, unit)
        sizes[unit] = set(rows)
    assert len(sizes[4]) < len(sizes[1])
    assert all(size % 4 == 0 for size in sizes[4])


def test_a_pipelines_network_is_replayed(saved):
    diffusers = pytest.importorskip("diffusers")
    from tiny_pipelines import SD15, stable_diffusion_xl

    text = f"diffusers({saved(stable_diffusion_xl, diffusers.DDIMScheduler(**SD15))!r})"
    model, usual = build("backend", text).load(), build("backend", text).load()
    _, record = put(model.network)
    words = samples(Sweep(images=2, prompts=["a cat", "a dog"]), ["a cat", "a dog"], 0, 2)
    for guidance in ("cfg(3)", "slg"):
        work = [Job(Cell("m", "euler", "model", "trailing", 5, guidance, "0", 0, "float32"), words)]
        for one, other in zip(images(model, work, 1), images(usual, work, 1), strict=True):
            assert torch.equal(one, other)
    assert record.replayed >= 3


FIELDS = {
    "models": ["embedded"], "samplers": ["euler"], "steps": [3], "guidance": ["cfg(3)"], "images": 3,
    "prompts": PROMPTS, "metrics": ["luminance"], "batch_size": 3, "device": "cpu",
}  # fmt: skip


def test_graphs_need_a_cuda_device(tmp_path):
    with pytest.raises(UsageError, match="execution = 'cuda_graphs' needs device: cuda, not cpu"):
        Runner(Sweep(**FIELDS, execution="cuda_graphs"), tmp_path)


def test_what_has_no_network_of_its_own_is_refused(tmp_path):
    fields = {**FIELDS, "models": ["gaussian_mixture"], "execution": "compiled"}
    with pytest.raises(UsageError, match="needs a network to execute"):
        Runner(Sweep(**fields), tmp_path)


def test_weights_that_come_and_go_are_refused():
    model = embedded_model()
    model.network.mid_block._hf_hook = object()  # as accelerate does
    with pytest.raises(ValueError, match="leave offload out"):
        executed(model, "compiled")


def test_a_sweep_says_how_it_was_executed_and_its_cells_are_the_same(tmp_path, monkeypatch):
    made = []

    def compiled_without_a_compiler(forward):
        made.append(forward)
        return lambda call: (
            lambda again: forward(*again.arguments(again.tensors)[0], **again.arguments(again.tensors)[1])
        )

    monkeypatch.setitem(execution.MAKES, "compiled", compiled_without_a_compiler)
    keys = {}
    for name in ("eager", "compiled"):
        runner = Runner(Sweep(**FIELDS, execution=name), tmp_path / name)
        outcome = runner.run(lambda images, cell: None)
        assert (outcome.made, outcome.failed) == (3, {})
        (planned,) = runner.plan.runnable
        (shard,) = Store(tmp_path / name).folder(planned.cell).glob("0*.safetensors")
        assert read_metadata(shard)["execution"] == name
        keys[name] = planned.cell.key
    assert keys["eager"] == keys["compiled"]
    assert len(made) == 1


def test_compiled_forwards_are_proven_like_graphs(monkeypatch):
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda forward, **options: compiler(forward, backend="eager", **options))
    calls = [(numbers(rows, seed), {}) for seed in range(4) for rows in (2, 4)]
    expected = answers(Small(), calls)
    network = Small()
    handle = execution.execute(network, execution.compiled)
    same(answers(network, calls), expected)
    assert len(handle.proven.proven) == 2


def test_the_benchmark_finds_graphs_that_are_used_and_images_that_are_the_same(monkeypatch):
    monkeypatch.setitem(execution.MAKES, "cuda_graphs", by_tape)
    monkeypatch.setattr(benchmark, "WALKS", (("euler", 3), ("dpmpp_2m", 3)))
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    images, *times = benchmark.of("cuda_graphs", "cpu", [1])
    assert (images.met, len(times)) == (True, 1)
    assert re.fullmatch("[1-9] sizes of calls were proven and used", images.note)
    assert by_tape.last.replayed > 4
    assert list(benchmark.rows("cpu")) == []
    monkeypatch.setitem(execution.MAKES, "cuda_graphs", lambda forward: lambda call: 1 / 0)
    with pytest.warns(UserWarning, match="division by zero"), pytest.raises(RuntimeError, match="division by zero"):
        next(benchmark.of("cuda_graphs", "cpu", [1]))


def test_a_network_keeps_its_signature():
    network = Small()
    put(network)
    assert list(inspect.signature(network.forward).parameters) == ["x", "times", "added", "factor"]
    assert isinstance(network.forward, Executed)
