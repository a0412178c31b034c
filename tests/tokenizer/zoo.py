"""Odd tokenizers, trained on the spot with the `tokenizers` library: each exercises components the real ones lack."""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import corpus

ALPHABET = pre_tokenizers.ByteLevel.alphabet()


def _train(tokenizer, vocab_size=3000, special=(), alphabet=(), limit_alphabet=None):
    options = {} if limit_alphabet is None else {"limit_alphabet": limit_alphabet}
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=list(special), initial_alphabet=list(alphabet),
                                  show_progress=False, **options)
    tokenizer.train_from_iterator(corpus.documents(150_000, seed=7), trainer)
    return tokenizer


def byte_level_prefix_space():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=True)
    return _train(t, special=["<|endoftext|>"], alphabet=ALPHABET)


def byte_level_partial_alphabet():
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    return _train(t, special=["<unk>"], limit_alphabet=60)


def byte_level_first():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(add_prefix_space=False),
                                               pre_tokenizers.Split(Regex("[aeiouĠ]"), "merged_with_next")])
    t.decoder = decoders.ByteLevel()
    return _train(t, alphabet=ALPHABET)


def _byte_fallback(pre_tokenizer, normalizer, decoder, fuse_unk=True):
    t = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=fuse_unk))
    if normalizer is not None:
        t.normalizer = normalizer
    if pre_tokenizer is not None:
        t.pre_tokenizer = pre_tokenizer
    t.decoder = decoder
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    _train(t, special=special, limit_alphabet=300)
    t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> $B",
                                                     special_tokens=[("<s>", 1), ("</s>", 2)])
    return t


def metaspace_byte_fallback():
    return _byte_fallback(pre_tokenizers.Metaspace(prepend_scheme="first"), None,
                          decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")]))


def metaspace_no_split():
    return _byte_fallback(pre_tokenizers.Metaspace(prepend_scheme="always", split=False), None,
                          decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                             decoders.Strip(" ", 1, 0)]))


def metaspace_never():
    return _byte_fallback(pre_tokenizers.Metaspace(prepend_scheme="never"), normalizers.NFC(),
                          decoders.Metaspace(prepend_scheme="never"))


def prepend_replace_normalizer():
    return _byte_fallback(None, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
                          decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Replace("▁", " "),
                                             decoders.Strip(" ", 2, 0)]), fuse_unk=False)


def _unknowns(fuse_unk):
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse_unk))
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    return _train(t, special=["<unk>"], limit_alphabet=80)


def whitespace_unk_fused():
    return _unknowns(True)


def whitespace_unk_single():
    return _unknowns(False)


def digits_punctuation():
    t = Tokenizer(models.BPE(unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("contiguous"),
                                               pre_tokenizers.Digits(individual_digits=False)])
    return _train(t, special=["[UNK]"], limit_alphabet=700)


def punctuation_merged():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation("merged_with_previous"),
                                               pre_tokenizers.Split(" ", "merged_with_next"),
                                               pre_tokenizers.Split(Regex(r"\d{1,2}"), "contiguous"),
                                               pre_tokenizers.Split(Regex(r"[a-z]+"), "removed", invert=False),
                                               pre_tokenizers.Split(Regex(r"\w+|\W"), "isolated", invert=True)])
    return _train(t)


def split_inverted():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}+|[^\s\p{L}\p{N}]+"), "removed", invert=True)
    return _train(t)


def lowercase_nfkc():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    _train(t, alphabet=ALPHABET)
    t.add_tokens([AddedToken("Straße", normalized=True), AddedToken("FOX", normalized=True, single_word=True),
                  AddedToken("Año", normalized=False), AddedToken("<Sep>", special=True, normalized=True)])
    return t


def _normalized(form):
    t = Tokenizer(models.BPE())
    t.normalizer = form
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    return _train(t, vocab_size=600, alphabet=ALPHABET)


def nfd():
    return _normalized(normalizers.NFD())


def nfkd_replace_regex():
    return _normalized(normalizers.Sequence([normalizers.NFKD(), normalizers.Replace(Regex(r"\s{2,}"), " "),
                                             normalizers.Replace(Regex("[0-9]+"), "#")]))


def kimi_style():
    pattern = "|".join([r"[\p{Han}]+",
                        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                        r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
    return _split(pattern)


def o200k_style():
    return _split("|".join([
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"]))


def possessive_style():
    return _split(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s")


def _split(pattern):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    return _train(t, alphabet=ALPHABET)


def added_token_flags():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    _train(t, alphabet=ALPHABET)
    flags = [{}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}, {"single_word": True},
             {"normalized": False}, {"normalized": False, "single_word": True, "lstrip": True},
             {"normalized": False, "rstrip": True}]
    contents = ["fox", "the", "<s>", "</s>", "ing", "é", "我能", "你", "12", "dog;", "quick brown", "quick", "▁", "<|",
                "<|im_start|>", "<think>", "😀", "👨‍👩‍👧‍👦", "e", "return", " return", "ß", "=="]
    # The library panics where a token made of white space meets lstrip or rstrip, so those have no flags.
    t.add_tokens(["  ", "\n\n", AddedToken("\t\t", normalized=False)])
    t.add_tokens([AddedToken(c, **flags[i % len(flags)]) for i, c in enumerate(contents)])
    t.add_special_tokens([AddedToken("<|im_end|>", lstrip=True, rstrip=True, normalized=False), AddedToken("[INST]", normalized=False),
                          AddedToken("<｜User｜>", single_word=True)])
    return t


def no_pre_tokenizer():
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    return _train(t, special=["<unk>"], limit_alphabet=500)


def ignore_merges():
    t = byte_level_prefix_space()
    spec = json.loads(t.to_str())
    spec["model"]["ignore_merges"] = True
    spec["model"]["merges"] = spec["model"]["merges"][::2]
    vocab = spec["model"]["vocab"]
    for left, right in list(spec["model"]["merges"]):
        assert left + right in vocab
    return Tokenizer.from_str(json.dumps(spec))


ALL = [byte_level_prefix_space, byte_level_partial_alphabet, byte_level_first, metaspace_byte_fallback, metaspace_no_split,
       metaspace_never, prepend_replace_normalizer, whitespace_unk_fused, whitespace_unk_single, digits_punctuation,
       punctuation_merged, split_inverted, lowercase_nfkc, nfd, nfkd_replace_regex, kimi_style, o200k_style,
       possessive_style, added_token_flags, no_pre_tokenizer, ignore_merges]
