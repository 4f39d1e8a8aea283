"""The tokenizer of a GGUF file (SentencePiece pieces with scores) as a `tokenizer.json`.

SentencePiece joins the adjacent pair whose union has the highest score, which is byte-pair encoding with the unions
ranked by their scores.
"""

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

from workers.engines.gguf_weights import GgufFile

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
SPACE = "\u2581"


def merges(pieces: dict[str, int], scores: dict[str, float]) -> list[tuple[str, str]]:
    """Every way to make a piece of two, the best piece first."""
    found = [
        (-scores[piece], pieces[piece[:cut]], pieces[piece[cut:]], piece[:cut], piece[cut:])
        for piece in scores
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    return [(left, right) for *_, left, right in sorted(found)]


def tokenizer_of(file: GgufFile) -> Tokenizer:
    """Text to token ids, with the begin token first. Who reads a prompt sets `encode_special_tokens`, so that the name
    of a control token in it is plain text; `tokenizer.json` cannot hold that."""
    tokens: list[str] = file.field("tokenizer.ggml.tokens")
    kinds: list[int] = file.field("tokenizer.ggml.token_type")
    scores: list[float] = file.field("tokenizer.ggml.scores")
    pieces = {token: index for index, token in enumerate(tokens)}
    normal = {token: scores[index] for index, token in enumerate(tokens) if kinds[index] == NORMAL}
    unknown = tokens[file.field("tokenizer.ggml.unknown_token_id")]
    tokenizer = Tokenizer(
        models.BPE(pieces, merges(pieces, normal), unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    # Runs of line breaks and of spaces, and tags, are found in the text before anything is joined.
    of_kind = {
        wanted: [token for token, kind in zip(tokens, kinds, strict=True) if kind == wanted]
        for wanted in (USER_DEFINED, CONTROL)
    }
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in of_kind[USER_DEFINED]])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in of_kind[CONTROL]])
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    begin = file.field("tokenizer.ggml.bos_token_id")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{tokens[begin]} $A", special_tokens=[(tokens[begin], begin)]
    )
    return tokenizer
