"""RES4LYF's 118 types of Runge-Kutta method: each is a sampler of ours under its name, or left out with a reason."""

import pytest

from sigmabench.eval.not_built import NOT_BUILT
from sigmabench.plugins.registry import build

NAMES = """
res_2m res_3m dpmpp_2m dpmpp_3m abnorsett_2m abnorsett_3m abnorsett_4m deis_2m deis_3m deis_4m
res_2s_rkmk2e res_2s res_2s_stable res_3s res_3s_non-monotonic res_3s_alt res_3s_cox_matthews res_3s_lie res_3s_sunstar
res_3s_strehmel_weiner res_4s_krogstad res_4s_krogstad_alt res_4s_strehmel_weiner res_4s_strehmel_weiner_alt
res_4s_cox_matthews res_4s_cfree4 res_4s_friedli res_4s_minchev res_4s_munthe-kaas res_5s res_5s_hochbruck-ostermann
res_6s res_8s res_8s_alt res_10s res_15s res_16s etdrk2_2s etdrk3_a_3s etdrk3_b_3s etdrk4_4s etdrk4_4s_alt dpmpp_2s
dpmpp_sde_2s dpmpp_3s lawson2a_2s lawson2b_2s lawson4_4s lawson41-gen_4s lawson41-gen-mod_4s ddim
pec423_2h2s pec433_2h3s abnorsett2_1h2s abnorsett3_2h2s abnorsett4_3h2s
lawson42-gen-mod_1h4s lawson43-gen-mod_2h4s lawson44-gen-mod_3h4s lawson45-gen-mod_4h4s
ralston_2s ralston_3s ralston_4s midpoint_2s heun_2s heun_3s houwen-wray_3s kutta_3s ssprk3_3s ssprk4_4s rk38_4s rk4_4s
rk5_7s rk6_7s bogacki-shampine_4s bogacki-shampine_7s dormand-prince_6s dormand-prince_13s tsi_7s euler
irk_exp_diag_2s kraaijevanger_spijker_2s qin_zhang_2s pareschi_russo_2s pareschi_russo_alt_2s crouzeix_2s crouzeix_3s
crouzeix_3s_alt
gauss-legendre_2s gauss-legendre_3s gauss-legendre_4s gauss-legendre_4s_alternating_a gauss-legendre_4s_ascending_a
gauss-legendre_4s_alt gauss-legendre_5s gauss-legendre_5s_ascending radau_ia_2s radau_ia_3s radau_iia_2s radau_iia_3s
radau_iia_3s_alt radau_iia_5s radau_iia_7s radau_iia_9s radau_iia_11s lobatto_iiia_2s lobatto_iiia_3s lobatto_iiia_4s
lobatto_iiib_2s lobatto_iiib_3s lobatto_iiib_4s lobatto_iiic_2s lobatto_iiic_3s lobatto_iiic_4s lobatto_iiic_star_2s
lobatto_iiic_star_3s lobatto_iiid_2s lobatto_iiid_3s
"""
TYPES = NAMES.split()

LEFT_OUT = {
    "hybrid": ("pec4", "abnorsett2_1", "abnorsett3_2", "abnorsett4_3", "lawson4"),
    "crouzeix_3s": ("crouzeix_3", "kraaijevanger", "lobatto_iiib_2"),
    "rk5_7s": ("rk5_7",),
    "res_16s": (
        "res_2s_stable", "res_3s_", "res_4s_", "res_8s_alt", "res_15s", "res_16s", "etdrk3_b", "etdrk4_4s_alt",
        "irk_exp_diag",
    ),
}  # fmt: skip
"""The row of "Not built" that says why, to the beginnings of names."""


def built(name):
    try:
        build("sampler", name)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("theirs", TYPES)
def test_a_type_is_built_or_left_out_with_a_reason(theirs):
    name = theirs.replace("-", "_")
    rows = [row for row, beginnings in LEFT_OUT.items() if name.startswith(beginnings)]
    assert built(name) or rows
    assert {*rows} <= {row.name for row in NOT_BUILT if row.kind == "sampler"}


def test_the_list_is_complete_and_most_of_it_is_built():
    assert len(TYPES) == len({*TYPES}) == 118
    assert sum(built(name.replace("-", "_")) for name in TYPES) == 86
