"""The package stands on its own."""

import subprocess
import sys

LOAD_ALL = """
import importlib, pkgutil, sys
import workers.protocol
for module in pkgutil.iter_modules(workers.protocol.__path__):
    importlib.import_module(f"workers.protocol.{module.name}")
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_it_loads_nothing_of_the_platform_nor_of_a_node() -> None:
    loaded = subprocess.run([sys.executable, "-c", LOAD_ALL], check=True, capture_output=True, text=True).stdout.split()
    assert {"cryptography", "msgspec", "numpy", "workers"} <= set(loaded)
    assert not {"django", "channels", "celery", "kombu", "redis", "rest_framework", "httpx", "apps", "meshwork"} & set(
        loaded
    )
