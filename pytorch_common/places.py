"""What keeps a file from being read or written, and who mends it. Standard library only."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT}
_BARRED = {errno.EACCES, errno.EPERM}
_UNFIT = {
    *(errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.EFBIG, errno.ETXTBSY, errno.EIO, errno.ESTALE),
}


def place_problem(error: OSError, project: Path) -> str | None:
    """Say in one line what a person can mend about a file or folder, None where it is a bug.

    Where the rights are lacking, as after a run under sudo, the line names the owner and, inside
    the project, the command that mends it.
    """
    if error.errno == errno.ENOENT and error.filename is None:
        if "temporary directory" in str(error.strerror):  # tempfile's words
            return f"{error.strerror}; name a folder in TMPDIR"
        return "the folder that you are in is no longer there; cd to another"  # getcwd's error
    if error.errno in _FULL:
        return f"{error.filename or 'a file'}: {error.strerror}; make room, or name another place"
    if error.errno not in (_BARRED | _UNFIT) or not isinstance(error.filename, (str, bytes)):
        return None
    path = Path(os.fsdecode(error.filename))
    said = f"{path}: {error.strerror}"
    if error.errno in _UNFIT:
        return f"{said}; name another place"
    barred = _barred(path if path.is_absolute() else Path.cwd() / path, project)
    if barred is None:
        return said
    owner = barred.lstat().st_uid
    if owner == os.getuid():
        mend, reason = "chmod -R u+rwX", "is closed to its owner"
    else:
        mend, reason = "sudo chown -R $(id -u):$(id -g)", f"belongs to {_user_name(owner)}"
    if project not in (barred, *barred.parents):
        return f"{said}: {barred} {reason}; name another place"
    return f"{said}: {barred} {reason}; run: {mend} {shlex.quote(str(barred))}"


def _barred(path: Path, project: Path) -> Path | None:
    """Return the path or the folder above it that this user may not change.

    Inside the project that is the uppermost one, elsewhere the nearest that is there.
    """
    chain = [path, *path.parents]
    if project in chain:
        chain = chain[chain.index(project) :: -1]
    else:
        chain = [each for each in chain if os.path.lexists(each)][:2]
    return next((each for each in chain if not _may_change(each)), None)


def _may_change(path: Path) -> bool:
    """Tell whether this user may change what is there; what is not there bars nobody."""
    return not os.path.lexists(path) or os.access(path, os.W_OK | os.X_OK * path.is_dir())


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
