"""The block `noise`: how wrong the labels of phantoms are made."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from cxr14.errors import UserError
from cxr14.findings import FINDINGS
from cxr14.params._read import Block, Seed, read_block
from cxr14.params.chexnext import FILE

Rate = Annotated[float, Field(ge=0, lt=1)]
OTHERS: Literal["others"] = "others"


class Rates(Block):
    """Of one finding: `missed` of its positives, and the share of its labels that is `wrong`."""

    missed: Rate
    wrong: Rate


class NoiseParams(Block):
    """Rates by finding, `others` for those not named; `scale` is a factor for all of them."""

    scale: float = Field(ge=0, le=1)
    seed: Seed
    rates: dict[str, Rates]

    @field_validator("rates")
    @classmethod
    def _are_of_findings(cls, rates: dict[str, Rates]) -> dict[str, Rates]:
        unknown = sorted(set(rates) - {*FINDINGS, OTHERS})
        if unknown or OTHERS not in rates:
            problem = f"{', '.join(unknown)} is no finding" if unknown else f"no {OTHERS}"
            raise UserError(f"{problem}; allowed: {', '.join(FINDINGS)}, and {OTHERS}")
        return rates

    def of(self, finding: str) -> Rates:
        """Return the scaled rates of a finding."""
        own = self.rates.get(finding, self.rates[OTHERS])
        return Rates(missed=self.scale * own.missed, wrong=self.scale * own.wrong)


def read() -> NoiseParams:
    """Read the block `noise` of chexnext/params.yaml."""
    return read_block("noise", NoiseParams, FILE)
