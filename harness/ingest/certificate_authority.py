"""mitmproxy's certificate authority in a directory of the user's: made once, kept, never overwritten."""

from __future__ import annotations

import stat
from pathlib import Path

from mitmproxy.certs import CertStore

_NAME = "mitmproxy"
_KEY_BITS = 2048
#: What a client has to trust; it is no secret.
CERTIFICATE = f"{_NAME}-ca-cert.pem"
#: Key and certificate; for the owner's eyes alone.
_KEY_FILE = f"{_NAME}-ca.pem"
_PRIVATE = (_KEY_FILE, f"{_NAME}-ca.p12")
_OTHERS = (CERTIFICATE, f"{_NAME}-ca-cert.cer", f"{_NAME}-ca-cert.p12", f"{_NAME}-dhparam.pem")


class AuthorityError(RuntimeError):
    """The directory has no authority that can be used. The message is one line with a path and what to do."""


def open_authority(directory: Path) -> CertStore:
    """Return the authority in ``directory``; when there is none, make one, its key files with mode 0600.

    Nothing that exists is overwritten. Raises AuthorityError.
    """
    key_file = directory / _KEY_FILE
    try:
        if not key_file.exists():
            _make(directory)
        _check_private(directory)
        store = CertStore.from_files(key_file, directory / f"{_NAME}-dhparam.pem")
    except OSError as error:
        raise AuthorityError(f"{error.filename or directory}: {error.strerror or error}") from None
    except (ValueError, TypeError, IndexError):
        raise AuthorityError(
            f"{key_file}: no key with certificate that can be read; choose another --ca-dir"
        ) from None
    if store.default_ca.has_expired():
        raise AuthorityError(
            f"{key_file}: the certificate has expired; choose another --ca-dir and trust the new one"
        )
    return store


def _make(directory: Path) -> None:
    left = [name for name in (*_PRIVATE, *_OTHERS) if (directory / name).exists()]
    if left:
        raise AuthorityError(f"{directory / left[0]}: is there without {_KEY_FILE}; choose another --ca-dir")
    directory.mkdir(parents=True, exist_ok=True)
    CertStore.create_store(directory, _NAME, _KEY_BITS)


def _check_private(directory: Path) -> None:
    for name in _PRIVATE:
        file = directory / name
        if file.exists() and stat.S_IMODE(file.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
            raise AuthorityError(f"{file}: others than its owner can use it; run: chmod 600 {file}")
