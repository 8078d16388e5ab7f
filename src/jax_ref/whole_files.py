"""Files that are the old one or the new one, whole, at every instant."""

import errno
import os
import stat
import tempfile
from pathlib import Path


def replace(path: Path, content: bytes) -> None:
    """Put a file of this content in the place of the one at the path, if there is one.

    A link stays, and the file that it leads to is replaced; who may read a file stays as it was.

    Raises:
      OSError: the file cannot be written; what was there is there still.
    """
    path = path.resolve()
    mode = 0o644
    if path.exists():
        if not path.is_file():
            raise FileExistsError(errno.EEXIST, "it is no regular file", str(path))
        mode = stat.S_IMODE(path.stat().st_mode)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
