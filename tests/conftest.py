"""Makes `ctl` and `netns_lab` importable from a bare checkout, where the latter's folder is netns-lab/."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _register_lab():
    spec = importlib.util.spec_from_file_location("netns_lab", ROOT / "netns-lab" / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["netns_lab"] = module
    spec.loader.exec_module(module)


if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
if importlib.util.find_spec("netns_lab") is None:
    _register_lab()
