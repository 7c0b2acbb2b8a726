"""One file over HTTP into a part file: resumed where it broke off, bounded, tried again."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from workflow.core.console import note
from workflow.core.errors import WorkflowError, root_cause

if TYPE_CHECKING:
    import requests

_CHUNK_BYTES = 1 << 16
_PASSING_STATUSES = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Policy:
    """Say how patient a download is."""

    connect_timeout_s: float = 10.0
    """Seconds until a host that does not answer counts as unreachable."""
    read_timeout_s: float = 30.0
    """Seconds without a byte until a transfer counts as stalled."""
    attempts: int = 5
    """How often a transfer that breaks off is tried, the first time included."""
    backoff_s: float = 1.0
    """Seconds before the second attempt, doubled before each further one."""


class _BrokenOffError(Exception):
    """Say why a transfer ended early, where another attempt may succeed."""


class _CannotResumeError(Exception):
    """Say that the server does not go on where the part ends."""


@dataclass(frozen=True)
class Transfer:
    """Hold what one download needs to know."""

    url: str
    """Where the file is."""
    part: Path
    """Where its bytes are collected; kept when the transfer breaks off."""
    max_bytes: int
    """Where a transfer is cut off."""
    find_fault: Callable[[Path], str]
    """What is wrong with the complete part, empty where nothing is."""
    has_digest: bool
    """Whether find_fault tells a part that was put together from two versions of the file."""
    hint: str
    """What can be done where the file cannot be had: the end of the error's line."""
    policy: Policy

    def run(self) -> None:
        """Complete the part, in as many attempts as the policy allows.

        Raises: WorkflowError where that fails; a part that another run can go on with is kept.
        """
        if self.has_digest and not self.find_fault(self.part):
            return  # the run before was killed between the last byte and the rename
        note(f"fetching {self.url}")
        reason = ""
        for attempt in range(self.policy.attempts):
            if attempt:
                self._wait(attempt, reason)
            try:
                self._complete()
                return
            except _BrokenOffError as error:
                reason = str(error)
        raise self._error(f"gave up after {self.policy.attempts} attempts: {reason}")

    def _wait(self, attempt: int, reason: str) -> None:
        pause_s = self.policy.backoff_s * 2 ** (attempt - 1)
        count = f"attempt {attempt + 1} of {self.policy.attempts}"
        note(f"{urlsplit(self.url).hostname}: {reason}; {count} in {pause_s:g} s")
        time.sleep(pause_s)

    def _complete(self) -> None:
        """Go on where the part ends; where that does not fit, start over, once."""
        etag = self._remembered_etag()
        if self._part_bytes() and (self.has_digest or etag):
            with suppress(_CannotResumeError):
                self._receive(self._part_bytes(), etag)
                if not self.find_fault(self.part):
                    return
            note(f"{self.part.name}: does not fit what the server has; starting over")
        discard(self.part)
        self._receive(0, "")
        if fault := self.find_fault(self.part):
            discard(self.part)
            raise self._error(fault)

    def _receive(self, offset: int, etag: str) -> None:
        import requests
        from urllib3.exceptions import HTTPError

        timeout = (self.policy.connect_timeout_s, self.policy.read_timeout_s)
        headers = _request_headers(offset, etag)
        try:
            with requests.get(self.url, headers=headers, stream=True, timeout=timeout) as response:
                self._check_answer(response, offset)
                self._save(response, offset if response.status_code == 206 else 0)
        except (requests.RequestException, HTTPError) as error:
            if _is_passing(error):
                raise _BrokenOffError(f"the transfer broke off: {root_cause(error)}") from error
            raise self._error(_describe(error, self.url)) from error

    def _check_answer(self, response: requests.Response, offset: int) -> None:
        status, headers = response.status_code, response.headers
        answered = f"answered {status} {response.reason}"
        if offset and status == 416:
            raise _CannotResumeError(answered)
        if offset and status == 206:
            if not headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                raise _CannotResumeError(answered)
        elif status in _PASSING_STATUSES:
            raise _BrokenOffError(answered)
        elif status != 200:
            raise self._error(f"{answered}, expected 200")
        if "text/html" in headers.get("Content-Type", ""):
            host = urlsplit(response.url).hostname
            raise self._error(f"got an HTML page from {host}, expected a file")
        if (encoding := headers.get("Content-Encoding", "")) not in ("", "identity"):
            raise self._error(f"got the content encoded as {encoding}, expected it as it is")
        if (size_bytes := response.raw.length_remaining or 0) > self.max_bytes:
            raise self._error(f"expected at most {self.max_bytes} bytes, got {size_bytes}")

    def _save(self, response: requests.Response, offset: int) -> None:
        """Write the body to the part, from the offset on, and a little past max_bytes at most."""
        from tqdm import tqdm

        remaining = response.raw.length_remaining
        total = None if remaining is None else offset + remaining
        with (
            self.part.open("ab" if offset else "wb") as file,
            tqdm(total=total, initial=offset, unit="B", unit_scale=True, disable=None) as bar,
        ):
            if not offset:
                self._remember_etag(response.headers.get("ETag", ""))
            # read1 hands over what has arrived, so that a stall loses nothing of it.
            while chunk := response.raw.read1(_CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
                if file.tell() > self.max_bytes:
                    break

    def _part_bytes(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _remember_etag(self, etag: str) -> None:
        """Write down which version of the file the part begins; a weak tag does not tell."""
        strong = "" if etag.startswith("W/") else etag
        _etag_file(self.part).write_text(f"{self.url}\n{strong}", encoding="utf-8")

    def _remembered_etag(self) -> str:
        path = _etag_file(self.part)
        url, _, etag = (
            path.read_text(encoding="utf-8", errors="replace").partition("\n")
            if path.exists()
            else ("", "", "")
        )
        return etag if url == self.url else ""

    def _error(self, problem: str) -> WorkflowError:
        return WorkflowError(f"{self.url}: {problem}; {self.hint}")


def discard(part: Path) -> None:
    """Remove the part and what is remembered about it."""
    _etag_file(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _etag_file(part: Path) -> Path:
    return part.with_name(f"{part.stem}.etag{part.suffix}")


def _request_headers(offset: int, etag: str) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if etag:
            headers["If-Range"] = etag
    return headers


def _is_passing(error: Exception) -> bool:
    """Return whether the connection was there and then failed, so that it may come back."""
    import requests
    from urllib3.exceptions import HTTPError, ProtocolError

    if isinstance(error, requests.ConnectionError):
        return bool(error.args) and isinstance(error.args[0], ProtocolError)
    return isinstance(error, (requests.ReadTimeout, HTTPError))


def _describe(error: Exception, url: str) -> str:
    import requests

    request = getattr(error, "request", None)
    host = urlsplit(request.url if request else url).hostname
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy on the way to {host} failed: {root_cause(error)}"
    if isinstance(error, requests.exceptions.SSLError):
        return f"no trusted TLS connection to {host}: {root_cause(error)}"
    return f"{host} cannot be reached: {root_cause(error)}"
