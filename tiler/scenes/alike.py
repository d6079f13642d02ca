"""Check that scenes can form one layer: the same number of bands, the same type, the same palette."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tiler.errors import BadScenes
from tiler.scenes.scene import Scene

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
    others, cures = differing(scenes, model)
    if others:
        raise BadScenes(len(scenes), others, DIFFER, f"remove them from the list, {' or '.join(cures)}")


def differing(scenes: Sequence[Scene], model: Scene | None = None) -> tuple[list[tuple[str, str]], list[str]]:
    """The scenes that differ from `model`, or else from most, each with the difference; and the cures."""
    kinds = Counter(map(_kind, scenes))
    if len(kinds) < 2:
        return [], []
    usual = _kind(model) if model else kinds.most_common(1)[0][0]
    model = model or next(each for each in scenes if _kind(each) == usual)
    others = [(each.address, _difference(each, model)) for each in scenes if _kind(each) != usual]
    cures = dict.fromkeys(_cure(each, model) for each in scenes if _kind(each) != usual)
    return others, list(cures)


def _kind(scene: Scene) -> tuple[object, ...]:
    return scene.reading.count, scene.dtype, scene.palette


def _difference(scene: Scene, model: Scene) -> str:
    """The difference of a scene from the model."""
    if bool(scene.palette) != bool(model.palette):
        return f"it has {'a' if scene.palette else 'no'} palette, unlike {model.address}"
    if scene.reading.count != model.reading.count:
        bands = f"{_bands(scene.reading.count)} instead of {model.reading.count}"
        return bands if scene.dtype == model.dtype else f"{bands}, and type {scene.dtype} instead of {model.dtype}"
    if scene.dtype != model.dtype:
        return f"its type is {scene.dtype} instead of {model.dtype}"
    return f"its palette is another one than that of {model.address}"


def _cure(scene: Scene, model: Scene) -> str:
    """The cure of a difference, besides the removal of the scene."""
    if bool(scene.palette) != bool(model.palette):
        return "expand palettes with `gdal_translate -expand rgb`" if scene.palette else "convert with `rgb2pct.py`"
    convert = f"convert with `gdal_translate -ot {GDAL_TYPES.get(model.dtype, 'Float32')}`"
    if scene.reading.count != model.reading.count:
        one = "add --bands 1 to show one band of all"
        return one if scene.dtype == model.dtype else f"{convert} and {one}"
    if scene.dtype != model.dtype:
        return convert
    return "give all the same palette"


def _bands(count: int) -> str:
    return "1 band" if count == 1 else f"{count} bands"
