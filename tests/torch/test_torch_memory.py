"""Memory that a step frees is there for the next one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")

# In a process of its own, since the setting is one of the process.
CODE = """
import resource
import torch
from warren.torch.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        made = [torch.ones(2_000_000) for _ in range(4)]
        del made
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
faults()
plain, known = faults(), keep_freed_memory()
faults()
print(plain, faults(), known)
"""


def test_steps_do_not_fault_their_memory_in_anew() -> None:
    # As glibc begins; by itself it sometimes learns, from where blocks happen to lie, to keep them.
    as_it_begins = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=as_it_begins)
    plain, kept, known = done.stdout.split()
    if known == "False":
        pytest.skip("no glibc here")
    assert int(plain) > 10_000
    assert int(kept) < 1_000
