"""What this host can do: processor, memory, GPU, frameworks, and how fast it really multiplies."""

import importlib.util
import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

MATRIX = 768
MEASURE_SECONDS = 0.3
FRAMEWORKS = {
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "numba": "numba",
    "pytorch": "torch",
    "mlx": "mlx",
    "tensorflow": "tensorflow",
}


def _nvidia() -> dict[str, Any] | None:
    """The first NVIDIA GPU as its driver describes it, or None."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
        name, memory = answer.stdout.strip().splitlines()[0].split(",")
        return {"gpu_type": "cuda", "gpu_name": name.strip(), "gpu_memory_mb": int(float(memory))}
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _apple() -> dict[str, Any] | None:
    """An Apple GPU shares the machine's memory."""
    if platform.system() != "Darwin" or platform.machine() != "arm64":
        return None
    memory_mb = psutil.virtual_memory().total // 2**20
    return {"gpu_type": "apple_metal", "gpu_name": processor_name(), "gpu_memory_mb": memory_mb}


def processor_name() -> str:
    """The processor's model as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def measured_tflops(seconds: float = MEASURE_SECONDS) -> float:
    """float32 matrix multiplication on this host, in TFLOPS: the median of runs within `seconds`."""
    a = np.ones((MATRIX, MATRIX), np.float32)
    b = np.full((MATRIX, MATRIX), 0.5, np.float32)
    a @ b
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return round(2 * MATRIX**3 / float(np.median(times)) / 1e12, 4)


def frameworks() -> list[str]:
    """Frameworks that can be imported here, by the network's names for them."""
    found = [name for name, module in FRAMEWORKS.items() if importlib.util.find_spec(module)]
    if "pytorch" in found:
        import torch

        found += ["cuda"] if torch.cuda.is_available() else []
        found += ["mps"] if torch.backends.mps.is_available() else []
    return sorted(found)


def probe(*, measure: bool = True) -> dict[str, Any]:
    """The report that enrolment sends: names as the compute pool has them, memory in MiB and GB."""
    gpu = _nvidia() or _apple() or {"gpu_type": "cpu", "gpu_name": "", "gpu_memory_mb": 0}
    memory = psutil.virtual_memory().total
    names = frameworks()
    return {
        **gpu,
        "cpu_name": processor_name(),
        "cpu_cores": os.cpu_count() or 1,
        "memory_mb": memory // 2**20,
        "memory_gb": round(memory / 2**30),
        "disk_free_mb": shutil.disk_usage(Path.home()).free // 2**20,
        "frameworks": names,
        "cuda_available": gpu["gpu_type"] == "cuda",
        "metal_support": gpu["gpu_type"] == "apple_metal",
        "mlx_available": "mlx" in names,
        "system": platform.system(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "gflops": int(measured_tflops() * 1000) if measure else 0,
    }


def lanes_for(report: dict[str, Any], slots: int) -> dict[str, int]:
    """The lanes that a host serves and how many tasks each takes at a time."""
    tag = {"cuda": "cuda", "apple_metal": "metal"}.get(str(report["gpu_type"]), "cpu")
    return {f"inference.{tag}": slots}
