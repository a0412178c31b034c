"""A byte-level BPE tokenizer of any vocabulary size, without training: every id stands for text, and text comes back whole."""

import dataclasses
import itertools

_LETTERS = "etaoinshrdlucmfwygpbvkxqjz"
_SPACE = "Ġ"  # the byte alphabet's name for a space


def byte_alphabet():
    """The printable character that stands for each byte, as in GPT-2's tokenizer."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = itertools.count(256)
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def _merges():
    """Endless pairs that BPE merges, shortest results first: a known token and one more letter."""
    tokens = [_SPACE, *_LETTERS]
    for token in tokens:  # grows while it is walked
        for letter in _LETTERS:
            tokens.append(token + letter)
            yield token, letter


@dataclasses.dataclass
class Vocabulary:
    """tokens: by id. merges: pairs, first come first merged. special: text to id."""

    tokens: list
    merges: list
    special: dict

    def tokenizer_json(self):
        ids = {token: i for i, token in enumerate(self.tokens)}  # special ones too: only this keeps their ids
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                 "special": True}
                for token, i in sorted(self.special.items(), key=lambda item: item[1])
            ],
            "normalizer": None,
            "pre_tokenizer": byte_level,
            "post_processor": None,
            "decoder": byte_level,
            "model": {
                "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": ids,
                "merges": [f"{left} {right}" for left, right in self.merges],
            },
        }


def make_vocabulary(size, special):
    """`special`: token text to id. Raises ValueError when `size` has no room for all bytes and special tokens."""
    if size < 256 + len(special):
        raise ValueError(f"a vocabulary needs at least {256 + len(special)} entries, not {size}")
    taken = {i: token for token, i in special.items()}
    merges = list(itertools.islice(_merges(), size - 256 - len(special)))
    plain = itertools.chain(byte_alphabet(), (left + right for left, right in merges))
    return Vocabulary([taken[i] if i in taken else next(plain) for i in range(size)], merges, special)
