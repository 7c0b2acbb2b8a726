"""Do I accept this genuine quote? Small policies that compose, each of one question. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from workflow.core.errors import WorkflowError
from workflow.evidence.quotes import Genuine


class Policy(Protocol):
    """Answer one question about a genuine quote."""

    @property
    def name(self) -> str:
        """Return what is looked at, in a word or two."""

    @property
    def means(self) -> str:
        """Return what it means where the policy accepts."""

    def check(self, quote: Genuine) -> str:
        """Return what was found and accepted.

        Raises: WorkflowError with what was expected and got.
        """


@dataclass(frozen=True)
class NotDebug:
    """Refuse an enclave whose memory a debugger may read."""

    name = "no debug enclave"
    means = "the processor lets no debugger read its memory"

    def check(self, quote: Genuine) -> str:
        """Look at the attribute."""
        if quote.report.debug:
            raise WorkflowError("a debug enclave: a debugger reads and changes its memory")
        return "production"


@dataclass(frozen=True)
class Measurement:
    """Accept these programs alone, by MRENCLAVE."""

    accepted: frozenset[str]
    name = "MRENCLAVE"
    means = "this very program, with these files and options, ran in it"

    def check(self, quote: Genuine) -> str:
        """Compare the measurement."""
        return _one_of(quote.report.mr_enclave, self.accepted)


@dataclass(frozen=True)
class Signer:
    """Accept enclaves of these signers alone, by MRSIGNER."""

    accepted: frozenset[str]
    name = "MRSIGNER"
    means = "who holds this key signed the enclave; such enclaves can open each other's seals"

    def check(self, quote: Genuine) -> str:
        """Compare the signer."""
        return _one_of(quote.report.mr_signer, self.accepted)


@dataclass(frozen=True)
class Product:
    """Accept this product of the signer alone."""

    product: int
    name = "product id"
    means = "the signer's number for this product"

    def check(self, quote: Genuine) -> str:
        """Compare the product id."""
        return _one_of(str(quote.report.isv_prod_id), frozenset({str(self.product)}))


@dataclass(frozen=True)
class LowestSvn:
    """Refuse versions of the enclave below this security version."""

    lowest: int
    name = "security version"
    means = "no older version of the enclave than you accept"

    def check(self, quote: Genuine) -> str:
        """Compare the enclave's security version."""
        if quote.report.isv_svn < self.lowest:
            raise WorkflowError(f"expected {self.lowest} or more, got {quote.report.isv_svn}")
        return str(quote.report.isv_svn)


@dataclass(frozen=True)
class Advisories:
    """Refuse Intel's advisories about the processor, but for those that are accepted."""

    accepted: frozenset[str]
    name = "advisories"
    means = "no weakness of this processor is known to Intel but those that you accept"

    def check(self, quote: Genuine) -> str:
        """Look at every advisory of the TCB level."""
        if left := sorted(set(quote.advisories) - self.accepted):
            raise WorkflowError(f"{', '.join(left)} not accepted; where you do: --advisories")
        return ", ".join(quote.advisories) or "none"


@dataclass(frozen=True)
class Platform:
    """Accept these machines alone, by PPID: who can open a machine can spy on its memory."""

    accepted: frozenset[str]
    name = "machine (PPID)"
    means = "one of the machines that you trust to stand where nobody opens them"

    def check(self, quote: Genuine) -> str:
        """Compare the platform."""
        return _one_of(quote.ppid, self.accepted)


@dataclass(frozen=True)
class Asked:
    """Accept what a function of the whole quote accepts, as a policy among others."""

    name: str
    means: str
    ask: Callable[[], None]
    found: Callable[[Genuine], str]

    def check(self, quote: Genuine) -> str:
        """Ask the function, which raises WorkflowError."""
        self.ask()
        return self.found(quote)


@dataclass(frozen=True)
class AllOf:
    """Accept what every policy accepts."""

    policies: Sequence[Policy]
    name: str = "enclave"
    means: str = "an enclave that you accept"

    def check(self, quote: Genuine) -> str:
        """Ask them all, in their order."""
        return ", ".join(f"{policy.name} {policy.check(quote)}" for policy in self.policies)


@dataclass(frozen=True)
class AnyOf:
    """Accept what one of the policies accepts."""

    policies: Sequence[Policy]
    name: str = "enclave"
    means: str = "an enclave that you accept"

    def check(self, quote: Genuine) -> str:
        """Ask until one accepts; none of none does."""
        reasons = []
        for policy in self.policies:
            try:
                return policy.check(quote)
            except WorkflowError as error:
                reasons.append(str(error.message))
        raise WorkflowError("; or ".join(dict.fromkeys(reasons)) or "nothing is accepted")


def _one_of(found: str, accepted: frozenset[str]) -> str:
    if found not in accepted:
        raise WorkflowError(f"expected {' or '.join(sorted(accepted))}, got {found}")
    return found
