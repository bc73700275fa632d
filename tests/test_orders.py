"""`sigmabench orders`: the orders it measures are the known ones, ours and the peers', and so are its costs."""

import json
import math
import sys

import pandas as pd
import pytest
import torch

from sigmabench.eval import cli
from sigmabench.eval.errors import UsageError
from sigmabench.eval.orders.error import error_at, measured_order
from sigmabench.eval.orders.measure import measure
from sigmabench.eval.orders.methods import Method, methods
from sigmabench.eval.orders.publish import write
from sigmabench.eval.peers import comfyui_samplers, diffusers_schedulers, k_diffusion, peers
from sigmabench.eval.peers.comfyui import comfyui
from sigmabench.plugins.registry import catalogue
from sigmabench.reports.orders_page import orders_page, rows_by_method

STEPS = (10, 20, 40, 80)


def measured(*texts, steps=STEPS):
    orders, errors = measure([method for text in texts for method in methods([text])], steps)
    return orders.set_index(["name", "process"]), errors


def exactly(text):
    return [method for method in methods([text]) if method.name == text]


@pytest.mark.parametrize(
    ("text", "order", "evaluations"),
    [
        ("euler", 1, 1),
        ("heun", 2, 2),
        ("dpmpp_2m", 2, 1),
        ("dpmpp_3s", 3, 3),
        ("dpmpp_3m(start=runge_kutta)", 3, 1),
        ("lms(start=runge_kutta)", 4, 1),
        ("euler_ancestral", 1, 1),
        ("dpmpp_2s_ancestral", 2, 2),
    ],
)
def test_measured_orders_and_costs_are_the_known_ones_in_all_processes(text, order, evaluations):
    orders, errors = measure(exactly(text), (40, 80, 160))
    assert list(orders["process"]) == ["VE", "VP", "flow"]
    assert orders["order"].tolist() == pytest.approx([order] * 3, abs=0.17)
    assert orders["nfe_per_step"].tolist() == pytest.approx([evaluations] * 3, rel=0.03)
    finite = errors[errors["path"] == "finite"].pivot(index="steps", columns="process", values="error")
    assert (finite["VP"] / finite["VE"]).tolist() == pytest.approx([1] * 3, rel=1e-6)
    assert (finite["flow"] / finite["VE"]).tolist() == pytest.approx([1] * 3, rel=1e-6)


def test_noise_decides_what_is_measured():
    orders, _ = measured("ddim")
    kinds = orders["measured"].groupby("name").first()
    assert kinds.to_dict() == {"ddim": "trajectory", "ddim(eta=1)": "distribution"}


def test_exact_at_zero_terminal_snr_is_a_fact_about_the_start_at_alpha_0():
    orders, _ = measured("euler", "consistency", "lcm")
    flow = orders.xs("flow", level="process")
    assert flow.loc["euler", "zero_snr_exact"]
    assert flow.loc["euler", "zero_snr_order"] == pytest.approx(1, abs=0.1)
    assert not flow.loc["consistency", "zero_snr_exact"]  # its noise starts at sigma_min
    assert flow.loc["consistency", "zero_snr_first_step"] == pytest.approx(2 - math.sqrt(4 - 0.002**2), rel=1e-2)
    assert not flow.loc["lcm", "zero_snr_exact"]  # it does not converge
    assert flow.loc["lcm", "zero_snr_first_step"] == 0
    assert orders.xs("VE", level="process")["zero_snr_exact"].isna().all()


def test_every_registered_sampler_has_a_method_with_its_default_and_legal_variants():
    names = [method.name for method in methods()]
    assert set(catalogue("sampler")) <= set(names)
    assert len(names) == len(set(names))
    assert {"unipc(points=1)", "unipc(points=3)", "unipc(variant=bh1)", "ddim(eta=1)"} <= set(names)


def test_a_text_with_settings_is_measured_alone_and_an_unknown_name_is_refused():
    assert [method.name for method in methods(["dpmpp_2m_sde(eta=0.5, s_noise=1)"])] == ["dpmpp_2m_sde(eta=0.5)"]
    with pytest.raises(UsageError, match="did you mean 'euler'"):
        methods(["eulr"])


def test_a_sampler_that_is_not_linear_in_its_noise_is_said_to_be_so():
    orders, errors = measured("predictor_corrector(snr=0.1)")
    assert orders["note"].str.contains("not linear in its noise").all()
    assert errors.empty


def test_a_solver_that_raises_has_its_reason_in_its_row():
    def solve(denoiser, x, path, noise):
        raise RuntimeError("out of luck")

    orders, errors = measure([Method("somewhere", "broken", solve), *methods(["dpmpp_2s(r=0.4)"])], STEPS)
    assert orders.loc[orders["name"] == "broken", "note"].tolist() == ["RuntimeError: out of luck"] * 3
    assert set(errors["name"]) == {"dpmpp_2s(r=0.4)"}


def test_the_order_of_a_method_that_chooses_its_evaluations_is_over_those():
    chooser = Method("here", "chooser", lambda *_: None)
    assert measured_order(chooser, (1, 2, 3), [(1e-2, 10), (1e-4, 100), (1e-6, 1000)]) == pytest.approx(2)
    assert measured_order(chooser, (10, 20, 40), [(1e-2, 20), (1e-2 / 8, 40), (1e-2 / 64, 80)]) == pytest.approx(3)
    assert math.isinf(measured_order(chooser, (1, 2), [(1e-15, 1), (1e-16, 2)]))
    assert math.isnan(measured_order(chooser, (1, 2), [(math.nan, 1), (1e-1, 2)]))


def test_evaluations_are_counted_for_each_image():
    def one_by_one(denoiser, x, path, noise):
        s, t = path.levels
        return torch.cat([row + 0 * denoiser(row, s) for row in x.split(1)]) * t.norm / s.norm

    _, errors = measure([Method("here", "one by one", one_by_one, processes=("VE",))], (1,))
    assert errors["nfe"].tolist() == [1.0]


def test_errors_at_equal_evaluations_lie_on_the_line_between_measured_points():
    errors = [(1e-2, 10), (1e-4, 100)]
    assert error_at(50, errors) == pytest.approx(1e-2 * (50 / 10) ** -2)
    assert error_at(10, errors) == pytest.approx(1e-2)
    assert math.isnan(error_at(200, errors))


@pytest.fixture(scope="module")
def k_diffusion_functions():
    found = {peer.name: peer for peer in k_diffusion.peers()}
    if "k-diffusion" in found:
        pytest.skip(found["k-diffusion"].note)
    return found


def test_k_diffusions_third_order_method_is_second_order_and_ours_third(k_diffusion_functions):
    theirs, _ = measure([k_diffusion_functions["sample_dpmpp_3m_sde(eta=0)"]], (40, 80, 160))
    ours, _ = measure(exactly("dpmpp_3m(start=runge_kutta)"), (40, 80, 160))
    assert theirs["declared"].tolist() == [3]
    assert theirs["order"].tolist() == pytest.approx([2], abs=0.1)
    assert ours["order"].tolist() == pytest.approx([3] * 3, abs=0.1)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("sample_euler", "euler"),
        ("sample_heun", "heun"),
        ("sample_lms", "lms"),
        ("sample_dpmpp_2m", "dpmpp_2m"),
        ("sample_euler_ancestral", "euler_ancestral"),
        ("sample_dpmpp_2m_sde", "dpmpp_2m_sde"),
    ],
)
def test_k_diffusions_errors_and_costs_are_ours_where_the_method_is(k_diffusion_functions, name, ours):
    _, theirs = measure([k_diffusion_functions[name]], (5, 20))
    _, mine = measure(exactly(ours), (5, 20))
    mine = mine[mine["process"] == "VE"]
    assert theirs["error"].tolist() == pytest.approx(mine["error"].tolist(), rel=1e-8)
    assert theirs["nfe"].tolist() == mine["nfe"].tolist()


def scheduler(name, **options):
    for peer in diffusers_schedulers.peers():
        if peer.name.startswith(name) and all(f"{key}={value}" in peer.name for key, value in options.items()):
            return peer
    raise AssertionError(name)


pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    ("name", "options", "ours"),
    [
        ("EulerDiscreteScheduler", {}, "euler"),
        ("DDIMScheduler", {}, "ddim"),
        ("HeunDiscreteScheduler", {}, "heun"),
        ("KDPM2DiscreteScheduler", {}, "dpm_2"),
        ("LMSDiscreteScheduler", {}, "lms"),
        ("DPMSolverMultistepScheduler", {"solver_order": 2}, "dpmpp_2m"),
        ("UniPCMultistepScheduler", {}, "unipc"),
        ("EulerAncestralDiscreteScheduler", {}, "euler_ancestral"),
        ("DDPMScheduler", {}, "ddpm"),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}, "dpmpp_2m_sde"),
        ("FlowMatchEulerDiscreteScheduler", {}, "euler"),
        ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True}, "dpmpp_2m"),
    ],
)
def test_diffusers_errors_and_costs_are_ours_where_the_method_is(name, options, ours):
    _, theirs = measure([scheduler(name, **options)], (16, 20))
    _, mine = measure(exactly(ours), (16, 20))
    theirs, mine = theirs[theirs["path"] == "finite"], mine[(mine["path"] == "finite") & (mine["process"] == "VP")]
    assert theirs["error"].tolist() == pytest.approx(mine["error"].tolist(), rel=2e-3)
    assert theirs["nfe"].tolist() == mine["nfe"].tolist()


def test_diffusers_third_order_methods_are_second_order_without_noise_and_diverge_with_it():
    plain, _ = measure([scheduler("DPMSolverMultistepScheduler", solver_order=3)], (20, 40, 80))
    noisy, errors = measure(
        [scheduler("DPMSolverMultistepScheduler", solver_order=3, algorithm_type="sde-dpmsolver++")], (20, 40, 80)
    )
    assert plain["order"].tolist() == pytest.approx([2], abs=0.15)
    assert noisy["order"].item() < 0
    assert errors[errors["path"] == "finite"]["error"].is_monotonic_increasing


def test_diffusers_starts_at_alpha_0_with_an_error_of_its_substitute_or_not_at_all():
    orders, _ = measure([scheduler("DDIMScheduler"), scheduler("HeunDiscreteScheduler")], (10, 20))
    rows = orders.set_index("name")
    assert rows.loc["DDIMScheduler", "zero_snr_first_step"] == pytest.approx(4e-4, rel=0.1)
    assert not rows["zero_snr_exact"].any()
    assert math.isnan(rows.loc["HeunDiscreteScheduler", "zero_snr_order"])


def test_a_program_that_is_not_installed_is_a_row_that_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(k_diffusion, "PACKAGES", ("no_such_package",))
    orders, _ = measure([peer for peer in peers() if peer.source.startswith("k-diffusion")], STEPS)
    assert len(orders) == 1
    assert "pip install --no-deps k-diffusion" in orders["note"].item()
    assert "pip install --no-deps k-diffusion" in orders_page(orders, {})


def test_without_a_checkout_comfyui_is_a_row_that_says_what_to_set(monkeypatch):
    monkeypatch.delenv("COMFYUI_DIR", raising=False)
    comfyui.cache_clear()
    orders, _ = measure(comfyui_samplers.peers(), STEPS)
    assert len(orders) == 1
    assert "set COMFYUI_DIR to a checkout of ComfyUI" in orders["note"].item()


def test_randomness_of_a_scheduler_is_its_own_again_afterwards():
    from diffusers.schedulers import scheduling_ddpm

    before = scheduling_ddpm.randn_tensor
    measure([scheduler("DDPMScheduler")], (5,))
    assert scheduling_ddpm.randn_tensor is before
    assert torch.randn(3).std() > 0


def test_the_report_holds_tables_figures_and_a_page_that_agree(tmp_path):
    chosen = [*exactly("euler"), *exactly("heun"), *exactly("euler_ancestral"), scheduler("HeunDiscreteScheduler")]
    orders, errors = measure(chosen, (5, 10, 20))
    write(tmp_path, orders, errors, {"command": "sigmabench orders"})
    names = {"orders.csv", "error_nfe.csv", "errors.svg", "errors.png", "peers.svg", "peers.png", "README.md"}
    assert {path.name for path in tmp_path.iterdir()} == names
    back = pd.read_csv(tmp_path / "orders.csv")
    assert back["order"].tolist() == pytest.approx(orders["order"].tolist(), rel=1e-3)
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    order = orders.loc[orders["name"] == "heun", "order"].iloc[0]
    assert f"| heun | 2 | 2 | {order:.2f} |" in page
    drawn = (tmp_path / "errors.svg").read_text(encoding="utf-8")
    assert all(name in drawn for name in ("euler", "heun", "euler_ancestral"))
    assert "diffusers" in (tmp_path / "peers.svg").read_text(encoding="utf-8")


def test_the_page_names_peers_that_miss_their_order():
    peer = scheduler("DPMSolverMultistepScheduler", solver_order=3)
    orders, _ = measure([*exactly("dpmpp_3m(start=runge_kutta)"), peer], (20, 40, 80))
    order = orders["order"].iloc[-1]
    said = f"Below their declared order: DPMSolverMultistepScheduler(solver_order=3) {order:.2f} instead of 3.\n"
    assert said in orders_page(orders, {})


def test_processes_with_different_orders_are_shown_apart():
    rows = pd.DataFrame(
        {"source": "s", "name": "n", "process": ["VE", "VP"], "measured": "trajectory", "declared": 1, "evaluations": 1}
    ).assign(order=[1.0, 0.5], note="", zero_snr_exact=False, zero_snr_first_step=0.1, zero_snr_order=0.5)
    rows = rows.assign(error_at_20_nfe=0.1, error_at_50_nfe=0.1, error_at_100_nfe=math.nan)
    assert rows_by_method(rows)[1] == (
        "n", "1", "1", "1.00 VE, 0.50 VP", "1.0e-01", "1.0e-01", "\N{EN DASH}", "1e-01 off, order 0.50",
    )  # fmt: skip


def test_the_command_prints_json_and_writes_where_it_is_told(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sigmabench.eval.orders.measure.STEPS", (5, 10, 20))
    monkeypatch.setattr(measure, "__defaults__", ((5, 10, 20), *measure.__defaults__[1:]))
    arguments = ["orders", "dpmpp_2s(r=0.4)", "--json", "--out", str(tmp_path / "o")]
    monkeypatch.setattr(sys, "argv", ["sigmabench", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    rows = json.loads(capsys.readouterr().out)
    assert not end.value.code
    assert [row["process"] for row in rows] == ["VE", "VP", "flow"]
    assert all(row["declared"] == 2 for row in rows)
    assert "sigmabench orders 'dpmpp_2s(r=0.4)' --out" in (tmp_path / "o" / "README.md").read_text(encoding="utf-8")
