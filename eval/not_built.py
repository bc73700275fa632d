"""Methods of the literature and of other programs that are no plugins here, and why: the page "Not built".

A row is removed as its method is built; a test holds the names apart from those that are registered.
"""

from __future__ import annotations

from typing import NamedTuple


class NotBuilt(NamedTuple):
    """A method that is left out."""

    kind: str
    name: str
    source: str
    """Paper or program, as in docstrings: arXiv:NNNN.NNNNN, doi: or a link."""
    reason: str


NOT_BUILT = (
    NotBuilt(
        "guidance",
        "recfg",
        "Xia et al. 2024, arXiv:2410.18737",
        "Its coefficients are a table of ratios measured beforehand, for each model and each condition.",
    ),
    NotBuilt(
        "guidance",
        "ltx2",
        "LTX-2, https://github.com/Lightricks/LTX-2",
        "CFG and skipped layers are slg(guidance=cfg). What is left leads away from a network whose attention "
        "between video and audio is cut, and no backend here makes video with sound.",
    ),
    NotBuilt(
        "sampler",
        "genie",
        "Dockhorn et al. 2022, arXiv:2210.05475",
        "It takes the derivative of the network along the trajectory: a forward-mode product through every layer, "
        "which a sampler that only asks for x0 cannot have, or a head trained for it. Clybius' ttm is the same.",
    ),
    NotBuilt(
        "sampler",
        "amed",
        "Zhou et al. 2023, arXiv:2312.00094",
        "Its intermediate times come from a predictor that is trained for one model and reads the network's "
        "bottleneck. dpm_2 with another r is its step with a fixed one, afs its free first step.",
    ),
    NotBuilt(
        "sampler",
        "sfd",
        "Zhou et al. 2024, arXiv:2409.19681",
        "A distillation: what it makes is another network, which euler or any few-step sampler walks.",
    ),
    NotBuilt(
        "sampler",
        "bespoke",
        "Shaul et al. 2023, arXiv:2310.19075; S4S, arXiv:2502.17423",
        "Coefficients trained by gradients for one model, one number of steps and one guidance scale. dpm_solver_v3 "
        "is fitted to a model by statistics instead, `sigmabench optimise` finds levels for it.",
    ),
    NotBuilt(
        "sampler",
        "ctm",
        "CTM: Kim et al. 2023, arXiv:2310.02279; AnyFlow, arXiv:2605.13724",
        "Flow maps (CTM, MeanFlow, AnyFlow and diffusers' FlowMapEulerDiscreteScheduler) are told two times and "
        "answer with x at the second: no prediction of x0 at one level, which is what a sampler here asks for.",
    ),
    NotBuilt(
        "sampler",
        "piflow",
        "Chen et al. 2025, arXiv:2510.14974",
        "Its network answers with a policy, the velocity for many small steps; no prediction of x0 at one level.",
    ),
    NotBuilt(
        "sampler",
        "consistency_decoder",
        "OpenAI, https://github.com/openai/consistencydecoder",
        "A decoder of latents, part of a pipeline and not of its sampling; its two steps are those of consistency.",
    ),
    NotBuilt(
        "sampler",
        "dps",
        "Chung et al. 2022, arXiv:2209.14687; DiffPIR, arXiv:2305.08995",
        "Samplers for inverse problems (DPS, PGDM, DiffPIR, MMPS, TMPD, TDS) need the operator of the measurement "
        "and the gradient of the network. For masks there is repaint.",
    ),
    NotBuilt(
        "sampler",
        "euler_smea_dy",
        "Koishi-Star, https://github.com/Koishi-Star/Euler-Smea-Dyn-Sampler",
        "Heuristics that evaluate on every second pixel (euler_dy, euler_smea_dy) or scale steps by hand "
        "(euler_negative, kohaku_lonyu_yog): they do not converge to the model's distribution, and say nothing of "
        "its steps.",
    ),
    NotBuilt(
        "sampler",
        "clyb_4m_sde",
        "Clybius, https://github.com/Clybius/ComfyUI-Extra-Samplers",
        "Heuristics without a derivation (clyb_4m_sde_momentumized, supreme, dualsde, euler_ancestral_dancing, "
        "mixture; blepping's momentum samplers): no equation says what they should converge to.",
    ),
    NotBuilt(
        "sampler",
        "easycache",
        "Liu et al. 2024 (TeaCache), arXiv:2411.19108",
        "Caches of predictions (EasyCache, TeaCache, Spectrum, DeepCache) leave out evaluations inside the network's "
        "host, by thresholds of its own; a multistep sampler extrapolates with an order, and error that is measured.",
    ),
    NotBuilt(
        "sampler",
        "discrete",
        "VQ-Diffusion: Gu et al. 2021, arXiv:2111.14822",
        "Samplers of tokens (Amused, VQ-Diffusion, BlockRefinement, entropy bound) have no levels of Gaussian noise.",
    ),
    NotBuilt(
        "sampler",
        "hybrid",
        "RES4LYF, https://github.com/ClownsharkBatwing/RES4LYF",
        "Its nine hybrids (pec423, pec433, abnorsett with stages, lawson41 to lawson45 generalised) pay stages for "
        "an order that lms, res_3m and abnorsett_4m have at one evaluation a step.",
    ),
    NotBuilt(
        "sampler",
        "crouzeix_3s",
        "Hairer, Wanner 1996, doi:10.1007/978-3-642-05221-7",
        "Its stages stand outside of the step, as do those of kraaijevanger_spijker: noisier than its start, where a "
        "path from pure noise has no level, or cleaner than its end. Those of lobatto_iiib_2s are moved half as far as "
        "their level; from pure noise it does not converge.",
    ),
    NotBuilt(
        "sampler",
        "rk5_7s",
        "RES4LYF, https://github.com/ClownsharkBatwing/RES4LYF",
        "Dormand and Prince's table with two signs changed, so that its rows do not add up; dormand_prince_6s is the "
        "right one.",
    ),
    NotBuilt(
        "sampler",
        "res_16s",
        "RES4LYF, https://github.com/ClownsharkBatwing/RES4LYF",
        "Its tables of 15 and 16 stages and its second tables of methods built here (res_3s_alt, krogstad_alt, "
        "etdrk4_alt, sunstar, lie, minchev, munthe_kaas ...) add no order to res_3s, krogstad and res_5s to res_10s; "
        "some were measured at order 2 or less, or do not run.",
    ),
    NotBuilt(
        "schedule",
        "logit_normal",
        "Esser et al. 2024, arXiv:2403.03206",
        "Densities of training times (logit-normal, mode, cosmap, log-normal, Laplace, Cauchy) weigh a loss and are "
        "no forward process. As a spacing there is laplace.",
    ),
    NotBuilt(
        "schedule",
        "offset_noise",
        "Lin et al. 2023, arXiv:2305.08891",
        "A change of the noise that a network is trained with. Its aim, images that are dark or bright as a whole, "
        "is reached by zero_terminal_snr.",
    ),
    NotBuilt(
        "spacing",
        "tan_scheduler",
        "RES4LYF, https://github.com/ClownsharkBatwing/RES4LYF",
        "Some eighty nodes that compute with sigmas by hand (tan_scheduler, constant, ...). tabulated takes their "
        "numbers.",
    ),
    NotBuilt(
        "spacing",
        "ld3",
        "Tong et al. 2024, arXiv:2405.15506; DMN, arXiv:2402.17376",
        "Levels found by gradients through a whole run, for one model. `sigmabench optimise` finds levels by dynamic "
        "programming (gits, optimal_steps) for tabulated, without gradients.",
    ),
)
"""By kind, in the order of its page."""
