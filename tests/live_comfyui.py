"""A real ComfyUI for tests: started headless on this machine, given tiny checkpoints, driven over its API.

    COMFYUI_DIR=/path/to/ComfyUI COMFYUI_PYTHON=/path/to/its/python pytest tests/test_comfyui_live.py

Latents are compared as SaveLatent writes them, never as PNG files.
"""

import json
import os
import re
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
NEEDS_HOST = pytest.mark.skipif(
    not os.environ.get("COMFYUI_DIR"),
    reason="COMFYUI_DIR is not set: name a ComfyUI checkout (and COMFYUI_PYTHON) to test the nodes in the real host",
)
NEIGHBOUR = '''
# What RES4LYF does: names of its own in the middle of the lists, and a reload of the host's sampling module.
import importlib
import comfy.k_diffusion.sampling as sampling, comfy.samplers as samplers
sampling.sample_neighbour = sampling.sample_euler
for names in (samplers.KSAMPLER_NAMES, samplers.SAMPLER_NAMES):
    names.insert(3, "neighbour")
importlib.reload(sampling)


class Neighbour:
    """Every hook that a pack may set on a MODEL, each with an effect."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "patch", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "hook": (["wrapper", "calc", "pre", "cfg", "post", "attn2"],)}}

    def patch(self, model, hook):
        model = model.clone()
        getattr(self, hook)(model)
        return (model,)

    def wrapper(self, model):
        model.set_model_unet_function_wrapper(lambda call, p: 0.9 * call(p["input"], p["timestep"], **p["c"]))

    def calc(self, model):
        def calc(args):
            every = (args["model"], args["conds"], args["input"], args["sigma"], args["model_options"])
            return [0.9 * x0 for x0 in samplers.calc_cond_batch(*every)]
        model.set_model_sampler_calc_cond_batch_function(calc)

    def pre(self, model):
        model.set_model_sampler_pre_cfg_function(lambda args: [x0.clamp(-1, 1) for x0 in args["conds_out"]])

    def cfg(self, model):
        def cfg(args):
            return args["uncond"] + 0.8 * args["cond_scale"] * (args["cond"] - args["uncond"])
        model.set_model_sampler_cfg_function(cfg)

    def post(self, model):
        model.set_model_sampler_post_cfg_function(lambda args: args["denoised"] + 0.1 * args["cond_denoised"].sin())

    def attn2(self, model):
        model.set_model_attn2_replace(lambda q, k, v, extra: q * 0.5, "input", 1)


class GivenText:
    """What a text encoder elsewhere made of a text, from a file in the host's input folder."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("CONDITIONING",), "read", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"file": ("STRING", {}), "text": ("STRING", {})}}

    def read(self, file, text):
        import folder_paths, os, safetensors.torch
        tensors = safetensors.torch.load_file(os.path.join(folder_paths.get_input_directory(), file))
        summary = {"pooled_output": tensors[f"{text}.pooled"]} if f"{text}.pooled" in tensors else {}
        return ([[tensors[text], summary]],)


NODE_CLASS_MAPPINGS = {"Neighbour": Neighbour, "GivenText": GivenText}
'''
INSTALLED = "from sigmabench import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, WEB_DIRECTORY"


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


class Live:
    """A server in a folder of its own. ``run`` waits for a workflow and returns its latents by node, or raises.

    The pack is there twice, as a clone and as an installed package behind a folder of one line, and so is a neighbour
    that reloads what both append to: nothing may depend on who comes first.
    """

    def __init__(self, comfyui, python, folder):
        self.base, self.port = folder, _free_port()
        for name in (
            "models/checkpoints",
            "custom_nodes/installed",
            "custom_nodes/neighbour",
            "installed",
            "input",
            "output",
        ):
            (folder / name).mkdir(parents=True, exist_ok=True)
        packs = folder / "custom_nodes"
        (packs / "sigmabench").symlink_to(ROOT, target_is_directory=True)
        (folder / "installed" / "sigmabench").symlink_to(ROOT, target_is_directory=True)
        (packs / "installed" / "__init__.py").write_text(INSTALLED)
        (packs / "neighbour" / "__init__.py").write_text(NEIGHBOUR)
        self.python, self.comfyui = python, Path(comfyui)
        installed = {"PYTHONPATH": str(folder / "installed")}
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **installed}

    def make_checkpoints(self):
        maker = [self.python, str(ROOT / "tests" / "live_checkpoints.py"), str(self.comfyui)]
        subprocess.run([*maker, str(self.base / "models" / "checkpoints")], check=True, env=self.environment)

    def __enter__(self):
        self.log = self.base / "server.log"
        command = [
            self.python,
            str(self.comfyui / "main.py"),
            "--cpu",
            "--listen",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        command += ["--base-directory", str(self.base), "--database-url", "sqlite:///:memory:"]
        command += ["--disable-auto-launch", "--disable-api-nodes", "--preview-method", "latent2rgb"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=self.comfyui, stdout=log, stderr=log, env=self.environment)
        deadline = time.monotonic() + 240
        while True:
            try:
                self.get("/system_stats")
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise RuntimeError(f"ComfyUI did not start:\n{self.log.read_text()[-3000:]}") from None
                time.sleep(0.1)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as reply:
            body = reply.read()
            return json.loads(body) if "json" in reply.headers.get("Content-Type", "") else body.decode()

    def post(self, path, data):
        body, kind = json.dumps(data).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, kind)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                text = reply.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:2000]) from None
        return json.loads(text) if text else None

    def outcome(self, graph, client="test"):
        """The history of a finished workflow."""
        queued = self.post("/prompt", {"prompt": graph, "client_id": client})
        assert not queued["node_errors"], str(queued["node_errors"])[:2000]
        prompt = queued["prompt_id"]
        while True:
            history = self.get(f"/history/{prompt}").get(prompt)
            if history:
                return history
            time.sleep(0.02)

    def run(self, graph):
        """Outputs by node id; latents as arrays."""
        history = self.outcome(graph)
        for name, data in history["status"]["messages"]:
            if name in ("execution_error", "execution_interrupted"):
                raise HostError(data)
        return {name: self._read(output) for name, output in history["outputs"].items()}

    def _read(self, output):
        found = output.get("latents")
        if not found:
            return output
        data = (self.base / found[0]["type"] / found[0]["subfolder"] / found[0]["filename"]).read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        entry = json.loads(data[8 : 8 + size])["latent_tensor"]
        start, stop = entry["data_offsets"]
        assert entry["dtype"] == "F32"
        return np.frombuffer(data[8 + size + start : 8 + size + stop], np.float32).reshape(entry["shape"])


class HostError(AssertionError):
    """What ComfyUI's error dialog says."""

    def __init__(self, data):
        self.data = data
        super().__init__(f"{data.get('node_type')}: {data.get('exception_message', 'interrupted')}")


def relative(a, b):
    """Distance of arrays by the size of the second."""
    return float(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b.astype(np.float64)))


class Graph(dict):
    """A workflow that samples: a checkpoint, prompts, a latent; ``sample`` adds a run and saves its latent.

    A video has 9 frames, and the texts of the flow model.
    """

    def __init__(self, model, batch=1, seed=3, size=64):
        video = model.startswith("video")
        file = f"{model}.safetensors" if model == "video_and_audio" else f"{model}.ckpt"
        texts = "texts" if video else "loader"
        shape = {"width": size, "height": size, "batch_size": batch}
        super().__init__(
            loader=node("CheckpointLoaderSimple", ckpt_name=file),
            positive=node("CLIPTextEncode", text="a red fox", clip=[texts, 1]),
            negative=node("CLIPTextEncode", text="blurry", clip=[texts, 1]),
            latent=node("EmptyHunyuanLatentVideo", length=9, **shape) if video else node("EmptyLatentImage", **shape),
            noise=node("RandomNoise", noise_seed=seed),
            host_sampler=node("KSamplerSelect", sampler_name="euler"),
        )
        if video:
            self["texts"] = node("CheckpointLoaderSimple", ckpt_name="flow.ckpt")
        self.model = ["loader", 0]

    def add(self, name, kind, **inputs):
        self[name] = node(kind, **inputs)
        return [name, 0]

    def sigmas(self, scheduler="normal", steps=4):
        return self.add(f"sigmas_{scheduler}_{steps}", "BasicScheduler", model=self.model, scheduler=scheduler,
                        steps=steps, denoise=1.0)  # fmt: skip

    def cfg(self, scale=3.0):
        return self.add(f"cfg_{scale}", "CFGGuider", model=self.model, positive=["positive", 0],
                        negative=["negative", 0], cfg=scale)  # fmt: skip

    def sample(self, name, sampler=None, sigmas=None, guider=None, noise=None, latent=None, output=0):
        """Adds SamplerCustomAdvanced; its latent is saved as ``name``."""
        self.add(
            f"run_{name}", "SamplerCustomAdvanced", noise=noise or ["noise", 0], guider=guider or self.cfg(),
            sampler=sampler or ["host_sampler", 0], sigmas=sigmas or self.sigmas(),
            latent_image=latent or ["latent", 0],
        )  # fmt: skip
        self.add(name, "SaveLatent", samples=[f"run_{name}", output], filename_prefix=name)
        return [f"run_{name}", 0]


def listen(live, graph, on_event=lambda event: None):
    """Queue a workflow and yield its events until it is over; needs nothing but a socket."""
    client = uuid.uuid4().hex
    with socket.create_connection(("127.0.0.1", live.port), timeout=60) as wire:
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        wire.sendall(
            f"GET /ws?clientId={client} HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        stream = wire.makefile("rb")
        while stream.readline() not in (b"\r\n", b""):
            pass
        live.post("/prompt", {"prompt": graph, "client_id": client})
        events = []
        while True:
            kind, size = struct.unpack("!BB", stream.read(2))
            size &= 127
            if size > 125:
                (size,) = struct.unpack("!H" if size == 126 else "!Q", stream.read(2 if size == 126 else 8))
            body = stream.read(size)
            if kind & 15 in (1, 2):  # text or binary, not a ping
                event = json.loads(body) if kind & 15 == 1 else {"type": "preview", "data": {}}
            else:
                continue
            events.append((event["type"], event["data"]))
            on_event(event)
            if event["type"] in ("execution_success", "execution_error", "execution_interrupted"):
                return events


def version(comfyui):
    """The version that a checkout says it is."""
    return re.search(r'__version__ = "(.*?)"', (Path(comfyui) / "comfyui_version.py").read_text())[1]


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def queued(live, workflow):
    """A workflow file as the page would queue it: links and widgets by name."""
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    graph = {}
    for part in workflow["nodes"]:
        if part["type"] == "MarkdownNote":
            continue
        info = live.get(f"/object_info/{part['type']}")[part["type"]]
        inputs = {slot["name"]: links[slot["link"]] for slot in part["inputs"] if slot["link"] is not None}
        values = iter(part["widgets_values"])
        for name, spec in (
            (n, s) for group in ("required", "optional") for n, s in info["input"].get(group, {}).items()
        ):
            options = spec[1] if len(spec) > 1 else {}
            widget = isinstance(spec[0], list) or spec[0] in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
            if widget and not options.get("forceInput"):
                value = next(values)
                inputs.setdefault(name, value)
                if options.get("control_after_generate"):
                    next(values)
        assert not list(values), part["type"]
        graph[str(part["id"])] = node(part["type"], **inputs)
    return graph


def ours_in(graph, live, kind, **given):
    """One of our nodes, its other widgets at their defaults."""
    info = live.get(f"/object_info/Sigmabench{kind}")[f"Sigmabench{kind}"]
    inputs = {name: spec for group in info["input"].values() for name, spec in group.items()}
    required = {name: default(inputs[name]) for name in info["input"]["required"] if name not in given}
    return graph.add(kind, f"Sigmabench{kind}", **required, **{k: v for k, v in given.items() if k in inputs})


def default(spec):
    """The value of a widget that nobody touched."""
    options = spec[1] if len(spec) > 1 else {}
    return options["default"] if "default" in options else choices(spec)[0]


def zero_snr(graph, prediction="v_prediction"):
    graph.model = graph.add("zsnr", "ModelSamplingDiscrete", model=graph.model, sampling=prediction, zsnr=True)
    return graph


def kind_of_model(kind, **more):
    graph = Graph(kind if kind in ("flow", "video") else "vp", **more)
    if kind == "zsnr":
        return zero_snr(graph)
    if kind in ("v_prediction", "x0"):
        graph.model = graph.add("kind", "ModelSamplingDiscrete", model=graph.model, sampling=kind, zsnr=False)
    return graph


def choices(spec):
    return spec[0] if isinstance(spec[0], list) else spec[1]["options"]
