"""What a benchmark ran on, and the memory it took."""

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


def resident_mib() -> float:
    """Memory of this process now."""
    return _status("VmRSS")


def peak_mib() -> float:
    """Peak memory of this process; not getrusage's, which a child inherits from its parent. Linux only."""
    return _status("VmHWM")


def forget_peak() -> None:
    """The peak begins anew from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024
