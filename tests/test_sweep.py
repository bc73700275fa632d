"""Sweep files: read, checked in full, explained."""

import pytest

from sigmabench.eval.errors import UsageError
from sigmabench.eval.sweep import load_sweep


def write(tmp_path, text, prompts=None):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    if prompts is not None:
        (tmp_path / "p.txt").write_bytes(prompts)
    return path


def test_single_values_are_axes_and_plugins_take_their_shortest_form(tmp_path):
    sweep = load_sweep(write(tmp_path, "samplers: dpmpp_2m_sde(eta=1.0)\nsteps: [5, 5, 10]\nscales: 3\n"))
    assert sweep.samplers == ["dpmpp_2m_sde"]
    assert sweep.steps == [5, 10]
    assert sweep.guided() == ["cfg(scale=3)"]


def test_scales_multiply_methods_and_leave_methods_without_one_alone(tmp_path):
    sweep = load_sweep(write(tmp_path, "guidance: [cfg, 'rescaled_cfg(rescale=0.5)']\nscales: [1, 7.5]\n"))
    assert sweep.guided() == [
        "cfg(scale=1)", "cfg", "rescaled_cfg(scale=1, rescale=0.5)", "rescaled_cfg(rescale=0.5)",
    ]  # fmt: skip


def test_scales_reach_the_method_inside_wrappers(tmp_path):
    text = "guidance: ['interval(dynamic_threshold(apg(3)), sigma_lo=0.5)', interval]\nscales: [1, 2]\n"
    assert load_sweep(write(tmp_path, text)).guided() == [
        "interval(guidance=dynamic_threshold(guidance=apg(scale=1)), sigma_lo=0.5)",
        "interval(guidance=dynamic_threshold(guidance=apg(scale=2)), sigma_lo=0.5)",
        "interval(guidance=cfg(scale=1))",
        "interval(guidance=cfg(scale=2))",
    ]


def test_a_checked_sweep_written_and_read_again_is_the_same(tmp_path):
    import yaml

    sweep = load_sweep(write(tmp_path, "samplers: [heun]\nspacings: karras(rho=5)\nprompts: [a cat]\n"))
    again = load_sweep(write(tmp_path, yaml.safe_dump(sweep.model_dump())))
    assert again == sweep


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("samplers: [euler, dpmpp2m]", r"samplers\.2 = 'dpmpp2m': unknown sampler 'dpmpp2m'; did you mean 'dpmpp_2m'"),
        ("sampler: euler", "unknown field 'sampler'. Fields: models, samplers"),
        ("steps: [0]", r"steps\.1 = 0: .*greater than or equal to 1"),
        ("steps: []", "steps = .*at least 1 item"),
        ("steps: many", r"steps\.1 = 'many': .*valid integer"),
        ("scales: [-1]", r"scales\.1 = -1"),
        ("spacings: karras(rho=0)", r"Karras.rho = 0.0: must satisfy 0.1 <= rho <= 100"),
        ("guidance: cfg(scale=x)", "must be a number"),
        ("device: tpu", "device = 'tpu': .*'cpu'"),
        ("seed: 4294967295\nimages: 2", r"seed \+ images = 4294967297 must be at most 2\^32"),
        ("prompts: [a cat, '  ']", "empty line at 2"),
        ("prompts: missing.txt", "cannot read .*missing.txt"),
        ("- a\n- b", "must hold fields"),
        ("samplers: [euler", "is not YAML"),
        ("", "must hold fields"),
    ],
)
def test_an_error_names_field_value_and_legal_values(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        load_sweep(write(tmp_path, text))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a cat\n\na dog\n", "empty line at 2"),
        (b"a cat\n\xff\xfe\n", "line 2 is not UTF-8"),
        (b"", "is empty; give at least one prompt"),
    ],
)
def test_a_bad_prompt_file_is_named_with_its_line(tmp_path, data, message):
    with pytest.raises(UsageError, match=message) as caught:
        load_sweep(write(tmp_path, "prompts: p.txt", data))
    assert "p.txt" in str(caught.value)


def test_a_prompt_file_is_found_beside_the_sweep_file(tmp_path):
    sweep = load_sweep(write(tmp_path, "prompts: p.txt", "\ufeffa cat\nein Bär\n".encode()))
    assert sweep.prompts == ["a cat", "ein Bär"]
