"""The codes of refusals are promised: nodes, clients and logs go by them."""

from workers.protocol import errors

CODES = {
    "protocol_error",
    "not_canonical",
    "envelope_too_large",
    "envelope_malformed",
    "unknown_key",
    "bad_signature",
    "unsupported_version",
    "unknown_field",
    "wrong_network",
    "wrong_recipient",
    "wrong_sender",
    "wrong_kind",
    "expired",
    "not_yet_valid",
    "replayed",
    "seal_broken",
    "frame_malformed",
    "key_list_refused",
    "wallet_file_malformed",
    "passphrase_wrong",
    "passphrase_too_short",
}
REFUSALS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ProtocolError)]


def test_codes_are_stable_and_each_refusals_own() -> None:
    assert sorted(kind.code for kind in REFUSALS) == sorted(CODES)


def test_a_refusal_says_what_is_wrong() -> None:
    for kind in REFUSALS:
        assert kind().detail == kind.__doc__
        assert str(kind("More exactly.")) == "More exactly."
