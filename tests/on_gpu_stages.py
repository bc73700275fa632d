"""Stages for the tests of ``eval/on_gpu``: what can go wrong in one."""

import os
import subprocess
import sys
import time


def good(task):
    yield {"first": 1}
    yield {"second": task.seconds, "told": task.options["what"]}


def failing(task):
    yield {"first": 1}
    raise ValueError("half way")


def endless(task):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield {"first": 1, "child": child.pid}
    time.sleep(600)


def killed(task):
    yield {"first": 1}
    print("the device fell off the bus", flush=True)
    os.abort()


def silent(task):
    time.sleep(600)
    yield {}
