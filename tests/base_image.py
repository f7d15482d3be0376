"""``python tests/base_image.py``: a base image made of the Python that runs this, where no registry can be reached.

It holds the interpreter, the shared libraries it needs, a shell and certificates, at the places they have here. That
takes seconds; the image is named by what went into it, so that it is made once for each interpreter.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

REPOSITORY = "kong-metering-base"
_LEFT_OUT = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3"}
)
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
#: What wheels of compiled code may take for granted (manylinux, PEP 600).
_USUAL_LIBRARIES = (
    "libgcc_s.so.1",
    "libstdc++.so.6",
    "libm.so.6",
    "libdl.so.2",
    "librt.so.1",
    "libpthread.so.0",
    "libutil.so.1",
)


def base_image() -> str:
    """Return the name of the base image, which is made when the engine does not have it."""
    name = f"{REPOSITORY}:{_fingerprint()}"
    found = subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False)
    if found.returncode != 0:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            _Root(tar).fill()
        subprocess.run(["docker", "import", "-", name], input=archive.getvalue(), capture_output=True, check=True)
    return name


def _fingerprint() -> str:
    made_by = Path(__file__).read_bytes()
    return hashlib.sha256(made_by + f"{sys.base_prefix} {sys.version}".encode()).hexdigest()[:12]


class _Root:
    """The file system of the image, written to a tar."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._there: set[Path] = set()

    def fill(self) -> None:
        python = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}").resolve()
        stdlib = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
        shell = Path("/bin/sh").resolve()
        for path in (python, shell, *_files(stdlib)):
            self._copy(path)
        for path in _libraries([python, shell, *stdlib.glob("lib-dynload/*.so")]):
            self._copy(path, path.resolve())
        if _CERTIFICATES.exists():
            self._copy(_CERTIFICATES, _CERTIFICATES.resolve())
            # pip brings certificates of its own, which know nothing of a proxy that this machine trusts.
            self._text(Path("/etc/pip.conf"), f"[global]\ncert = {_CERTIFICATES}\n")
        self._unpack_pip(stdlib / "site-packages")
        self._link(Path("/bin/sh"), shell)
        for name in ("python", "python3"):
            self._link(Path("/usr/local/bin", name), python)
        self._text(Path("/etc/passwd"), "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
        self._text(Path("/etc/group"), "root:x:0:\nnogroup:x:65534:\n")
        self._text(Path("/etc/nsswitch.conf"), "hosts: files dns\n")
        self._folder(Path("/tmp"), 0o1777)

    def _copy(self, path: Path, source: Path | None = None) -> None:
        source = source or path
        mode = 0o755 if os.access(source, os.X_OK) else 0o644
        self._put(path, source.read_bytes(), mode, int(source.stat().st_mtime))

    def _text(self, path: Path, text: str) -> None:
        self._put(path, text.encode(), 0o644)

    def _put(self, path: Path, content: bytes, mode: int, modified: int = 0) -> None:
        if path in self._there:
            return
        self._folder(path.parent)
        self._there.add(path)
        entry = tarfile.TarInfo(str(path).lstrip("/"))
        entry.size, entry.mode = len(content), mode
        entry.mtime = modified  # what is compiled holds for one time of its source alone
        self._tar.addfile(entry, io.BytesIO(content))

    def _link(self, path: Path, target: Path) -> None:
        if path in self._there or path == target:
            return
        self._folder(path.parent)
        self._there.add(path)
        entry = tarfile.TarInfo(str(path).lstrip("/"))
        entry.type, entry.linkname = tarfile.SYMTYPE, str(target)
        self._tar.addfile(entry)

    def _folder(self, path: Path, mode: int = 0o755) -> None:
        # Open to all: the interpreter may live in the home of whoever made the image, and is run by others there.
        if path == Path("/") or path in self._there:
            return
        self._folder(path.parent)
        self._there.add(path)
        entry = tarfile.TarInfo(str(path).lstrip("/"))
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        self._tar.addfile(entry)

    def _unpack_pip(self, site: Path) -> None:
        with zipfile.ZipFile(_pip_wheel()) as wheel:
            for name in wheel.namelist():
                if not name.endswith("/"):
                    self._put(site / name, wheel.read(name), 0o644)


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - _LEFT_OUT)
        yield from (
            Path(place, name) for name in sorted(names) if not name.endswith((".a", ".opt-1.pyc", ".opt-2.pyc"))
        )


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """Return the shared libraries that the programs are linked with, and the usual ones."""
    found: set[Path] = set()
    listing = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    for match in re.finditer(r"(?:=> |^\s+)(/\S+) \(0x", listing, re.MULTILINE):
        found.add(Path(match[1]))
    for name in _USUAL_LIBRARIES:
        found.update([*Path("/lib").glob(f"*-linux-gnu*/{name}"), *Path("/lib64").glob(name)])
    return found


def _pip_wheel() -> Path:
    """Return the wheel of pip that comes with Python; Debian keeps it elsewhere (package python3-pip-whl)."""
    for folder in (Path(os.__file__).parent / "ensurepip/_bundled", Path("/usr/share/python-wheels")):
        for path in folder.glob("pip-*.whl"):
            return path
    raise FileNotFoundError("no wheel of pip: install python3-venv")


if __name__ == "__main__":
    if shutil.which("docker") is None:
        sys.exit("docker is not installed")
    print(base_image())
