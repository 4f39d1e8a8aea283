"""Refusals of the protocol, each with its stable code.

ProtocolError
├── NotCanonical          ├── WrongNetwork
├── EnvelopeTooLarge      ├── WrongRecipient
├── EnvelopeMalformed     ├── WrongSender
├── UnknownKey            ├── WrongKind
├── BadSignature          ├── Expired
├── UnsupportedVersion    ├── NotYetValid
├── UnknownField          ├── Replayed
├── SealBroken            ├── FrameMalformed
├── KeyListRefused
└── WalletFileMalformed, PassphraseWrong, PassphraseTooShort
"""


class ProtocolError(Exception):
    """The message is refused."""

    code = "protocol_error"

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (self.__doc__ or "").strip().split("\n")[0]
        super().__init__(self.detail)


class NotCanonical(ProtocolError):
    """The bytes are not canonical JSON."""

    code = "not_canonical"


class EnvelopeTooLarge(ProtocolError):
    """The envelope is larger than allowed."""

    code = "envelope_too_large"


class EnvelopeMalformed(ProtocolError):
    """The envelope does not have the shape of one."""

    code = "envelope_malformed"


class UnknownKey(ProtocolError):
    """The signing key is not known, or not valid now."""

    code = "unknown_key"


class BadSignature(ProtocolError):
    """The signature does not fit the payload."""

    code = "bad_signature"


class UnsupportedVersion(ProtocolError):
    """The envelope has a version that is not spoken here."""

    code = "unsupported_version"


class UnknownField(ProtocolError):
    """The message has a field that its kind does not have, lacks one, or has one of the wrong type or size."""

    code = "unknown_field"


class WrongNetwork(ProtocolError):
    """The message is of another network."""

    code = "wrong_network"


class WrongRecipient(ProtocolError):
    """The message is addressed to somebody else."""

    code = "wrong_recipient"


class WrongSender(ProtocolError):
    """The sender that the message names does not hold the key that signed it."""

    code = "wrong_sender"


class WrongKind(ProtocolError):
    """A message of this kind is not accepted here."""

    code = "wrong_kind"


class Expired(ProtocolError):
    """The message has expired."""

    code = "expired"


class NotYetValid(ProtocolError):
    """The message is from the future, or lives longer than allowed."""

    code = "not_yet_valid"


class Replayed(ProtocolError):
    """The message was received before."""

    code = "replayed"


class SealBroken(ProtocolError):
    """The sealed bytes cannot be opened with this key and context, or nothing can be sealed to the key."""

    code = "seal_broken"


class FrameMalformed(ProtocolError):
    """The tensor frame is malformed or larger than allowed."""

    code = "frame_malformed"


class KeyListRefused(ProtocolError):
    """The key list is not signed by the root that is trusted here."""

    code = "key_list_refused"


class WalletFileMalformed(ProtocolError):
    """The file is not an encrypted wallet of Meshwork."""

    code = "wallet_file_malformed"


class PassphraseWrong(ProtocolError):
    """The passphrase does not open this wallet, or the file was altered."""

    code = "passphrase_wrong"


class PassphraseTooShort(ProtocolError):
    """A wallet's passphrase has at least ten characters."""

    code = "passphrase_too_short"
