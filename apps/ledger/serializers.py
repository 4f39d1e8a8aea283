"""The ledger in the API. Amounts are decimal strings of base units: 1 MESH is 100000000."""

from typing import Any

from rest_framework import serializers

from apps.ledger import blocks, words
from apps.ledger.leaves import shown
from apps.ledger.models import Account, Block, Transfer
from workers.protocol.ids import show_uuid


class SignerSerializer(serializers.Serializer[Any]):
    """Whose signature it is: a wallet's over its order, or the platform's over the block."""

    by = serializers.ChoiceField(choices=["wallet", "platform"])
    key = serializers.CharField(help_text="The wallet's public key (base64), or the id of the platform's key.")
    over = serializers.ChoiceField(choices=["order", "block"])


class TransferFormSerializer(serializers.Serializer[Any]):
    """A transfer in its public form. `signature` is null until a block seals a transfer that the platform made."""

    id = serializers.CharField(help_text="The same id as pages show it: txn_…")
    txId = serializers.UUIDField()
    to = serializers.CharField()
    amount = serializers.CharField(help_text="Base units.")
    txType = serializers.CharField()
    meaning = serializers.CharField(help_text="The type in words.")
    memo = serializers.CharField()
    timestamp = serializers.IntegerField(help_text="Unix milliseconds.")
    hold = serializers.UUIDField(allow_null=True)
    authorisation = serializers.CharField(help_text="SHA-256 of the authorisation.")
    block = serializers.IntegerField(allow_null=True, help_text="Null while it is pending.")
    index = serializers.IntegerField(allow_null=True)
    signature = serializers.CharField(allow_null=True, help_text="Ed25519, base64.")
    signer = SignerSerializer(allow_null=True)
    order = serializers.DictField(allow_null=True, help_text="The wallet's signed order, where a person paid.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """`from` is no name that Python takes."""
        fields = super().get_fields()
        return {"id": fields.pop("id"), "txId": fields.pop("txId"), "from": serializers.CharField(), **fields}

    def to_representation(self, instance: Transfer) -> dict[str, Any]:
        """A transfer that is whole."""
        identifier = {"id": show_uuid("txn", instance.pk)}
        return {**identifier, **shown(instance), "meaning": words.of_transfer(instance.kind)}


class AccountSerializer(serializers.ModelSerializer[Account]):
    """An account and what it holds, pending transfers included."""

    balance = serializers.CharField()
    meaning = serializers.SerializerMethodField()

    class Meta:
        model = Account
        fields = ("address", "kind", "balance", "meaning")

    def get_meaning(self, account: Account) -> str:
        return words.of_account(account.kind)


class HeaderSerializer(serializers.Serializer[Any]):
    """What a block's hash is taken over, as canonical JSON."""

    height = serializers.IntegerField()
    net = serializers.CharField()
    prev = serializers.CharField()
    root = serializers.CharField()  # type: ignore[assignment]
    count = serializers.IntegerField()
    minted = serializers.IntegerField()
    burned = serializers.IntegerField()
    sealed_at = serializers.IntegerField(help_text="Unix milliseconds.")


class BlockSerializer(serializers.Serializer[Any]):
    """A sealed block; `signature` is the platform's document over hash and height."""

    header = HeaderSerializer()
    hash = serializers.CharField()
    signature = serializers.DictField()

    def to_representation(self, instance: Block) -> dict[str, Any]:
        """Its three parts."""
        return {"header": blocks.header_of(instance), "hash": instance.hash, "signature": instance.document}


class GenesisSerializer(serializers.Serializer[Any]):
    """The document that the chain starts from, its hash, and the genesis account's signature."""

    hash = serializers.CharField()
    document = serializers.DictField()
    signature = serializers.DictField()


class SummarySerializer(serializers.Serializer[Any]):
    """What the ledger amounts to now, pending transfers included. Amounts in base units."""

    network = serializers.CharField()
    height = serializers.IntegerField(allow_null=True)
    head = serializers.CharField(allow_null=True)
    pending = serializers.IntegerField()
    minted = serializers.CharField()
    burned = serializers.CharField()
    supply = serializers.CharField()
    max_supply = serializers.CharField()
    treasury = serializers.CharField()
    faucet = serializers.CharField(allow_null=True, help_text="Null on a mainnet.")


class ProofSerializer(serializers.Serializer[Any]):
    """All that it takes to check offline that a transfer stands in a signed block (RFC 6962)."""

    format = serializers.CharField()
    leaf = serializers.DictField()
    index = serializers.IntegerField()
    proof = serializers.ListField(child=serializers.CharField(), help_text="Siblings from the leaf up, hex.")
    block = BlockSerializer()
    order = serializers.DictField(allow_null=True)
    keys = serializers.DictField(help_text="The platform's keys, in a list signed by the network's root.")


class CheckSerializer(serializers.Serializer[Any]):
    """One rule of the audit, and by name what breaks it (the first twenty)."""

    name = serializers.CharField()
    ok = serializers.BooleanField()
    detail = serializers.CharField()
    found = serializers.ListField(child=serializers.CharField())


class ReportSerializer(serializers.Serializer[Any]):
    """What an audit found. Amounts in base units; `state` is one root over all balances."""

    ok = serializers.BooleanField()
    at = serializers.DateTimeField()
    network = serializers.CharField()
    transfers = serializers.IntegerField()
    pending = serializers.IntegerField()
    blocks = serializers.IntegerField()
    height = serializers.IntegerField()
    head = serializers.CharField()
    genesis = serializers.CharField()
    minted = serializers.CharField()
    burned = serializers.CharField()
    state = serializers.CharField()
    checks = CheckSerializer(many=True)


class QueuedSerializer(serializers.Serializer[Any]):
    """An audit that was asked for."""

    audit = serializers.IntegerField()
