"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine(use: str = "one used") -> str:
    """The processor's name, its cores, and how many of them the benchmark used."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, {use}"
