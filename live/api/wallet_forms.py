"""What requests about wallets say and answer."""

from typing import Annotated

from pydantic import BaseModel, Field, StrictInt

from live.api.access_forms import At, Body, Code, Name, Token
from live.api.bodies import Money
from live.api.reads.forms import DecimalText
from live.api.reads.listing import LARGEST_ID
from live.api.wording import worded
from live.wallets.address_book import BookedAddress
from live.wallets.rules import AssetRule

ChainName = Annotated[str, Field(min_length=1, max_length=40, examples=["arbitrum"])]
Address = Annotated[
    str,
    Field(
        pattern=worded(r"^0x[0-9a-fA-F]{40}$", "0x and 40 hexadecimal digits"),
        description="All in one case, or with the capitals of its checksum (EIP-55).",
        examples=["0x52908400098527886E0F7030069857D2E4169EE7"],
    ),
]


class NewAddress(Body):
    """Add an address to the book; ``code`` is the authenticator's."""

    chain: ChainName
    address: Address
    label: Name
    code: Code


class NewWithdrawal(Body):
    """Ask for ``amount`` on an address of the book; the fee comes on top. ``code`` is the authenticator's."""

    amount: Money
    address_id: Annotated[StrictInt, Field(ge=1, le=LARGEST_ID, examples=[7])]
    asset: Annotated[str, Field(min_length=1, max_length=40)] = "USDC"
    code: Code


class MailedToken(Body):
    """Show the token that was mailed."""

    token: Token


class AddressItem(BaseModel):
    """Be an address of the book; withdrawals may go there from ``usable_at`` on."""

    address_id: int = Field(examples=[7])
    chain: ChainName
    address: Address
    label: Name
    created_at: At
    usable_at: At

    @classmethod
    def of(cls, found: BookedAddress) -> "AddressItem":
        """Return what is shown of an address."""
        return cls(
            address_id=found.id,
            chain=found.chain,
            address=found.address,
            label=found.label,
            created_at=found.created_at,
            usable_at=found.usable_at,
        )


class ChainAsset(BaseModel):
    """Say what one withdrawal of an asset may be, what it costs, and when a deposit is final."""

    chain: ChainName
    asset: str = Field(examples=["USDC"])
    minimum: DecimalText = Field(examples=["10"])
    maximum: DecimalText = Field(examples=["1000000"])
    fee: DecimalText = Field(examples=["1"])
    confirmations: int = Field(examples=[20])

    @classmethod
    def of(cls, chain: str, asset: str, rule: AssetRule) -> "ChainAsset":
        """Return what is shown of a rule."""
        return cls(
            chain=chain,
            asset=asset,
            minimum=f"{rule.minimum:f}",
            maximum=f"{rule.maximum:f}",
            fee=f"{rule.fee:f}",
            confirmations=rule.confirmations,
        )
