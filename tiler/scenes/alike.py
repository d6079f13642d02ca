"""Check that scenes can form one layer: the same number of bands, the same type, the same palette."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tiler.errors import BadScenes
from tiler.scenes.scene import Scene

REMOVE = "remove it from the list"
DIFFER = "differ from the others"
GDAL_TYPES = {"uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32"} | {
    "int32": "Int32",
    "float32": "Float32",
}


def check_alike(scenes: Sequence[Scene], model: Scene | None = None) -> None:
    """Reject scenes that differ from `model`, or else from most; the first kind counts if several are as frequent.

    Raises:
        BadScenes: some differ; each is named, with the cure.
    """
    kinds = Counter(map(_kind, scenes))
    if len(kinds) < 2:
        return
    usual = _kind(model) if model else kinds.most_common(1)[0][0]
    model = model or next(each for each in scenes if _kind(each) == usual)
    others = [(each.address, _difference(each, model)) for each in scenes if _kind(each) != usual]
    raise BadScenes(len(scenes), others, DIFFER, "remove them from the list or convert them")


def _kind(scene: Scene) -> tuple[object, ...]:
    return scene.reading.count, scene.dtype, scene.palette


def _difference(scene: Scene, model: Scene) -> str:
    """The difference of a scene from the model, and its cure."""
    if bool(scene.palette) != bool(model.palette):
        has = "it has a palette" if scene.palette else "it has no palette"
        cure = (
            "expand its palette with `gdal_translate -expand rgb`" if scene.palette else "convert it with `rgb2pct.py`"
        )
        return f"{has}, unlike {model.address}: {REMOVE} or {cure}"
    count, usual = scene.reading.count, model.reading.count
    if count != usual:
        return f"{_bands(count)} instead of {usual}: {REMOVE}, or add --bands 1 to show one band of all"
    if scene.dtype != model.dtype:
        cure = f"convert it with `gdal_translate -ot {GDAL_TYPES.get(model.dtype, 'Float32')}`"
        return f"its type is {scene.dtype} instead of {model.dtype}: {REMOVE} or {cure}"
    return f"its palette is another one than that of {model.address}: {REMOVE} or give all the same palette"


def _bands(count: int) -> str:
    return "1 band" if count == 1 else f"{count} bands"
