"""A deterministic mixed corpus for tokenizer tests: code, prose in many scripts, emoji, marks, white space, noise."""

import random

PROSE = [
    "The quick brown fox jumps over the lazy dog; it's 12:45, and they've won 1,234.50 dollars (won't you?).",
    "Der schnelle Fuchs springt über Zäune, während Ärzte größere Straßen mit 3,5 % Gefälle prüfen.",
    "L'été dernier, à la fête, Zoë a mangé 25 crêpes — « délicieux », dit-elle.",
    "¿Dónde está el niño? ¡Aquí! Año 2024, número nº 5.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Ёлка — 2023 год.",
    "我能吞下玻璃而不伤身体。今天是2024年5月1日,天气很好!",
    "色は匂へど散りぬるを 我が世誰ぞ常ならむ。カタカナもあります。",
    "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다.",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر ومغلف بجلد أزرق ١٢٣٤",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה. שָׁלוֹם עֲלֵיכֶם",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश करने वाले १२३",
    "আমি কাঁচ খেতে পারি, তাতে আমার কোনো ক্ষতি হয় না।",
    "நான் கண்ணாடி சாப்பிடுவேன், அதனால் எனக்கு ஒரு கேடும் வராது.",
    "ฉันกินกระจกได้ แต่มันไม่ทำให้ฉันเจ็บ ๒๕๖๗",
    "Tôi có thể ăn thủy tinh mà không hại gì. Nguyễn Văn Đức",
    "Μπορώ να φάω σπασμένα γυαλιά χωρίς να πάθω τίποτα. Ὀδυσσεύς",
    "Կրնամ ապակի ուտել և ինծի անհանգիստ չըներ։ მინას ვჭამ და არა მტკივა.",
    "İstanbul'da ığdır ağacı; ŞÇĞÜÖ. Æsir Łódź Ǆ ǅ ﬁ ﬂ ﬀ ß ẞ",
]

CODE = [
    "def f(x: int = 0, *args, **kwargs) -> dict[str, int]:\n    return {k: v for k, v in kwargs.items() if v != x}\n\n",
    "for (size_t i = 0; i < n; ++i) {\n\t\tsum += a[i] * b[i];  // dot product\n\t}\r\n",
    "#include <vector>\ntemplate <typename T>\nauto operator<=>(const T&, const T&) = default;\n",
    '{"id": 17, "name": "caf\\u00e9", "tags": ["a", "b"], "price": 1.5e-3, "ok": true, "none": null}\n',
    "SELECT u.id, COUNT(*) FROM users u LEFT JOIN orders o ON o.uid=u.id WHERE u.ts >= '2024-01-01' GROUP BY 1;\n",
    "<div class=\"a b\"><p>Hello &amp; bye</p><!-- x --></div>\n",
    "curl -s https://example.org/a?b=c&d=%20e | jq '.items[] | .name' > /tmp/out.txt 2>&1 || exit 1\n",
    "$$\\sum_{i=1}^{n} x_i^2 = \\frac{n(n+1)}{2}$$\n```python\nprint('hi')\n```\n| a | b |\n|---|---|\n",
    "HELLO_WORLD CamelCaseIdentifier snake_case kebab-case 0xDEADBEEF 1_000_000 3.14159 v1.2.3-rc4\n",
]

EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "1️⃣", "🧑🏿‍🚀", "🫠", "✨🎉"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n ", "\u00a0", "\u3000", "\u2003", "\u200b", "\ufeff", "\u0085",
          "\u2028", "\u180e", " " * 17, "\n" * 5, "\t\t\t", " \t \n\n  "]
MARKUP = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<think>", "<｜User｜>", "<|begin_of_text|>", "<unk>", "<0x0A>", "<0xE4>",
          "▁", "▁▁", "Ġ", "Ċ", "<tool_call>", "<|", "|>", "<", "[INST]"]
CONTRACTIONS = ["I'm", "we'LL", "it'S", "don't", "they'Ve", "'tis", "x'ſ", "K'ſa", "'d'd", "o'RE"]


def _random_scalar(rng, low, high):
    while True:
        c = rng.randrange(low, high)
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def _noise(rng):
    kind = rng.randrange(8)
    n = rng.randrange(1, 30)
    if kind == 0:
        return bytes(rng.randrange(256) for _ in range(n)).decode("utf-8", "replace")
    if kind == 1:
        return "".join(_random_scalar(rng, 1, 0x20) for _ in range(n))
    if kind == 2:
        return "".join(_random_scalar(rng, 0x80, 0x3000) for _ in range(n))
    if kind == 3:
        return "".join(_random_scalar(rng, 0x3000, 0x10000) for _ in range(n))
    if kind == 4:
        return "".join(_random_scalar(rng, 0x10000, 0x110000) for _ in range(n))
    if kind == 5:
        return "".join(rng.choice("aeiouAEnNkK") + "".join(_random_scalar(rng, 0x300, 0x370) for _ in range(rng.randrange(4)))
                       for _ in range(n))
    if kind == 6:
        return "".join(rng.choice("0123456789٠١٢३४५²³½Ⅷ①") for _ in range(n))
    return rng.choice("abx=-#. \n가각각") * rng.randrange(1, 60)


def documents(total_bytes, seed=1):
    """Texts of a few hundred bytes each, `total_bytes` together."""
    rng = random.Random(seed)
    made = 0
    while made < total_bytes:
        parts = []
        for _ in range(rng.randrange(1, 12)):
            kind = rng.randrange(10)
            if kind < 3:
                words = rng.choice(PROSE).split(" ")
                start = rng.randrange(len(words))
                parts.append(" ".join(words[start:] + words[:start]))
            elif kind < 5:
                parts.append(rng.choice(CODE))
            elif kind == 5:
                parts.append(rng.choice(EMOJI) * rng.randrange(1, 4))
            elif kind == 6:
                parts.append(rng.choice(SPACES))
            elif kind == 7:
                parts.append(rng.choice(MARKUP))
            elif kind == 8:
                parts.append(rng.choice(CONTRACTIONS))
            else:
                parts.append(_noise(rng))
            if rng.random() < 0.5:
                parts.append(rng.choice([" ", " ", "\n", ", ", ""]))
        text = "".join(parts)
        made += len(text.encode("utf-8"))
        yield text


def every_character():
    """Every code point below U+33400 and above U+E0000, few of the long uniform runs, each among letters, digits, spaces and marks."""
    pieces = []
    around = ["a", " ", "1", ".", "\n", "我", "é", "a ", " 1", ""]
    for c in [*range(1, 0x33400), *range(0xE0000, 0xE0200), 0xF0000, 0x10FFFF]:
        uniform = 0x3500 < c < 0x9F00 or 0xAD00 < c < 0xD700 or 0xE100 < c < 0xF800 or 0x20100 < c < 0x2A600
        if 0xD800 <= c < 0xE000 or (uniform and c % 97):
            continue
        pieces.append(chr(c) + around[c % 10])
    return "".join(pieces)
