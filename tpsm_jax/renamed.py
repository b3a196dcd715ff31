"""Modules that moved stay importable, and runnable by `python -m`, under their old names."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

# Old name -> new name. Submodules of an old name are found too.
RENAMED = {
    "tpsm_jax.export": "tpsm_jax.animation.export",
    "tpsm_jax.keypoints": "tpsm_jax.animation.keypoints",
    "tpsm_jax.metrics.pictures": "tpsm_jax.evaluation.frame_metrics",
    "tpsm_jax.metrics.tables": "tpsm_jax.evaluation.keypoint_tables",
    "tpsm_jax.metrics": "tpsm_jax.evaluation",
    "tpsm_jax.pictures": "tpsm_jax.media.images",
    "tpsm_jax.video": "tpsm_jax.media.video_reader",
    "tpsm_jax.video_writer": "tpsm_jax.media.video_writer",
    "tpsm_jax.visualize": "tpsm_jax.media.visualize",
}


class _Loader(Loader):
    """Gives the module that has the new name, so that there is only one of it."""

    def __init__(self, new: ModuleSpec):
        self._new = new

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return importlib.import_module(self._new.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._new  # the import system has just set that of the old name

    def get_code(self, _: str) -> CodeType | None:
        """The code of the module, which `python -m` runs."""
        assert isinstance(self._new.loader, InspectLoader)
        return self._new.loader.get_code(self._new.name)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for old, new in RENAMED.items():
            if fullname == old or fullname.startswith(f"{old}."):
                found = importlib.util.find_spec(new + fullname[len(old) :])
                if found is None:
                    return None
                spec = ModuleSpec(fullname, _Loader(found), origin=found.origin)
                spec.submodule_search_locations = found.submodule_search_locations
                return spec
        return None


def install() -> None:
    """Makes the old names known to `import`."""
    # First, or the package that `tpsm_jax.metrics` now is would be searched for its submodules.
    sys.meta_path.insert(0, _Finder())
