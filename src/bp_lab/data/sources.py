"""Where data sets come from: the bundled digits, an .npz file, a folder of IDX files."""

from pathlib import Path

from bp_lab.data.dataset import Dataset, Named, Raw, from_parts, from_whole
from bp_lab.data.idx import read_idx
from bp_lab.data.npz import names_in, read_npz
from bp_lab.errors import InputError

DIGITS = "digits"
_VALIDATION_NAMES = ("validation", "valid", "val")


def load(source: str | Path) -> Dataset:
    """Return the data set that a source names.

    - `"digits"`: scikit-learn's 1,797 scanned digits of 8 × 8 pixels, cut 70/15/15. A folder of
      that name is reached by `./digits`.
    - An .npz file with `x_train, y_train, x_test, y_test` and optionally `x_validation,
      y_validation` (or `valid`, or `val`); or with `x, y`, cut 70/15/15.
    - A folder with the IDX files of MNIST: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`
      and the same for `t10k`; `.idx3` and a last `.gz` are understood.

    Every cut keeps the shares of the classes and is the same each time, whatever the seed of a
    training run. Content that is pickled is never loaded.

    Args:
      source: `"digits"` or a path.

    Raises:
      InputError: there is no such source, or it is malformed; the message names the file, the
        array, what was expected and what came.
    """
    if source == DIGITS:
        return _digits()
    path = Path(source)
    try:
        if path.is_dir():
            return _from_idx_folder(path)
        if path.is_file():
            return _from_npz(path)
        came = "something else" if path.exists() else "a path where nothing is"
    except OSError as error:
        came = error.strerror or "a path that cannot be read"
    raise InputError(str(source), "source", "'digits', an .npz file or a folder", came)


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    bundle = load_digits()
    images = Named(bundle.images / 16.0, "digits", "images")
    return from_whole("digits", Raw(images, Named(bundle.target, "digits", "labels")))


def _from_npz(path: Path) -> Dataset:
    names = names_in(path)

    def raw(suffix: str) -> Raw:
        x, y = f"x{suffix}", f"y{suffix}"
        if x not in names or y not in names:
            missing = x if x not in names else y
            came = f"the arrays {', '.join(ascii(name) for name in sorted(names)[:12])}"
            wanted = "x_train, y_train, x_test, y_test, or x, y"
            raise InputError(str(path), missing, f"an array of that name ({wanted})", came)
        return Raw(Named(read_npz(path, x), str(path), x), Named(read_npz(path, y), str(path), y))

    if not any(name.endswith(("_train", "_test")) for name in names) and {"x", "y"} & set(names):
        return from_whole(path.stem, raw(""))
    train, test = raw("_train"), raw("_test")
    for part in _VALIDATION_NAMES:
        if {f"x_{part}", f"y_{part}"} & set(names):
            return from_parts(path.stem, train, test, raw(f"_{part}"))
    return from_parts(path.stem, train, test)


def _from_idx_folder(folder: Path) -> Dataset:
    train, test = (
        Raw(_idx(folder, part, "images", 3), _idx(folder, part, "labels", 1))
        for part in ("train", "t10k")
    )
    return from_parts(folder.resolve().name, train, test)


def _idx(folder: Path, part: str, kind: str, rank: int) -> Named:
    stem = f"{part}-{kind}"
    for path in (
        folder / f"{stem}{separator}idx{rank}-ubyte{suffix}"
        for suffix in ("", ".gz")
        for separator in "-."
    ):
        if path.is_file():
            array = read_idx(path)
            if array.ndim != rank:
                raise InputError(str(path), "rank", str(rank), array.ndim)
            return Named(array, str(path), kind)
    expected = f"{stem}-idx{rank}-ubyte, plain or with .gz"
    raise InputError(str(folder), f"{part} {kind}", expected, "a folder without such a file")
