"""Schemas, expressions and grammars by hand: what clients send, edges of numbers and strings, and what is refused."""

import re

PERSON = {
    "title": "Person", "type": "object", "additionalProperties": False, "required": ["name", "age", "email"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 40},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "email": {"type": "string", "format": "email"},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 12}, "maxItems": 4},
        "address": {"anyOf": [{"$ref": "#/definitions/address"}, {"type": "null"}]},
    },
    "definitions": {"address": {"type": "object", "required": ["city"], "properties": {
        "city": {"type": "string"}, "zip": {"type": "string", "pattern": r"^\d{5}(-\d{4})?$"}}}},
}

SCHEMAS = [
    PERSON,
    True,
    {},
    {"type": "object"},
    {"type": "array"},
    {"type": "integer"},
    {"type": "number"},
    {"type": "number", "minimum": 0.1, "maximum": 0.3},
    {"type": "number", "exclusiveMinimum": 0.1, "maximum": 0.30000000000000004},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e-3},
    {"type": "number", "exclusiveMinimum": -1, "maximum": -0.5},
    {"type": "number", "minimum": -0.0, "maximum": 0},
    {"type": "integer", "minimum": 1.5, "maximum": 10.5},
    {"type": "integer", "exclusiveMinimum": -10, "exclusiveMaximum": -5},
    {"type": "integer", "minimum": 99, "maximum": 100000},
    {"type": "integer", "multipleOf": 7, "minimum": 10, "maximum": 1000},
    {"type": "number", "multipleOf": 4},
    {"type": "number", "multipleOf": 1},
    {"minimum": 5},
    {"const": 0.1},
    {"const": {"b": 1, "a": [True, None, "x\n"]}},
    {"enum": ["a", "b", 1, 1.5, None], "type": "string"},
    {"enum": [1, 2.0, 3, 40], "type": "integer", "maximum": 30},
    {"enum": ["a", "bb", "ccc"], "minLength": 2},
    {"type": "string", "minLength": 300, "maxLength": 301},
    {"type": "string", "maxLength": 100000},
    {"type": "string", "maxLength": 0},
    {"type": "string", "pattern": "^a"},
    {"type": "string", "pattern": "b$"},
    {"type": "string", "pattern": "^[\\x00-\\x1f]{2}$"},
    {"type": "string", "pattern": "^[\"\\\\/]{3}$"},
    {"type": "string", "pattern": "^\\p$".replace("\\p", "(?:😀|é|ß){2}")},
    {"allOf": [{"pattern": "^a"}, {"pattern": "z$"}], "type": "string", "maxLength": 12},
    {"type": "string", "format": "hostname"},
    {"type": "string", "format": "uri"},
    {"type": "string", "format": "duration"},
    {"type": "string", "format": "unknown-to-everyone", "maxLength": 3},
    {"type": "array", "items": {"type": "integer"}, "minItems": 50, "maxItems": 60},
    {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "maxItems": 1},
    {"type": "array", "items": False},
    {"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "minItems": 4, "maxItems": 5},
    {"type": "array", "prefixItems": [{"type": "null"}], "items": {"enum": ["x", "y"]}, "minItems": 2, "maxItems": 4},
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "minProperties": 1},
    {"type": "object", "properties": {k: {"type": "null"} for k in "abcdef"}, "minProperties": 3, "maxProperties": 4},
    {"type": "object", "required": ["z"], "properties": {"a": {"type": "null"}}},
    {"type": "object", "required": ["z"], "properties": {"a": {"type": "null"}}, "additionalProperties": {"type": "integer"}},
    {"type": "object", "properties": {"a": False, "b": {"type": "null"}}},
    {"type": "object", "patternProperties": {"^a": {"type": "integer"}, "b$": {"minimum": 3}}, "additionalProperties": False,
     "minProperties": 1, "maxProperties": 3},
    {"type": "object", "properties": {"ab": {"type": "integer"}}, "patternProperties": {"^a": {"minimum": 3}},
     "required": ["ab"]},
    {"type": "object", "additionalProperties": {"type": "integer"}, "propertyNames": {"maxLength": 3, "minLength": 1},
     "minProperties": 1},
    {"allOf": [{"type": "object", "properties": {"a": {"minimum": 3}}, "required": ["a"]},
               {"properties": {"a": {"type": "integer", "maximum": 5}}, "additionalProperties": False}]},
    {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
     "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"$ref": "#/$defs/node", "$defs": {"node": {
        "type": "object", "properties": {"value": {"type": "integer"}, "next": {"anyOf": [
            {"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["value", "next"], "additionalProperties": False}}},
    {"type": "array", "items": {"$ref": "#"}, "maxItems": 2},
    {"oneOf": [{"type": "object", "properties": {"k": {"enum": ["a", "b"]}}, "required": ["k"]},
               {"type": "object", "properties": {"k": {"const": "c"}}, "required": ["k"]}]},
    {"type": "object", "properties": {"~/": {"$ref": "#/$defs/a~1b~0c"}}, "required": ["~/"],
     "$defs": {"a/b~c": {"const": "found"}}},
]

# With what the message must mention.
REFUSED_SCHEMAS = [
    ({"not": {"type": "string"}}, "#/not"),
    ({"type": "object", "properties": {"x": {"if": {}, "then": {}}}}, "#/properties/x/if"),
    ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "#/uniqueItems"),
    ({"type": "array", "contains": {"const": 1}}, "#/contains"),
    ({"type": "string", "pattern": "(?=a)b"}, "#/pattern"),
    ({"type": "string", "pattern": "(a)\\1"}, "#/pattern"),
    ({"type": "number", "multipleOf": 0.01}, "#/multipleOf"),
    ({"type": "nothing"}, "#/type"),
    ({"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}, "#/properties/a/$ref"),
    ({"$ref": "https://example.org/schema.json"}, "#/$ref"),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "#/oneOf"),
    ({"oneOf": [{"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"b": {}}}]}, "#/oneOf"),
    ({"enum": []}, "#/enum"),
    ({"type": "integer", "minimum": 5, "maximum": 4}, "no number"),
    ({"type": "integer", "minimum": 10**17}, "no number"),
    ({"type": "string", "minLength": -1}, "#/minLength"),
    ({"type": "string", "minLength": 5, "maxLength": 4}, "satisf"),
    ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "satisf"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "object", "properties": {"x": {"$ref": "#/$defs/a"}},
                                                      "required": ["x"]}]}}}, "satisf"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]}}}, "begin with itself"),
    (False, "satisf"),
    ({"type": "string", "pattern": "(" * 200 + ")" * 200}, "nested"),
    ({"type": "string", "pattern": "((a|b){0,500}c){0,500}"}, "too complex"),
    ({"type": "string", "pattern": "(a|b)*a(a|b){30}"}, "too complex"),
]


def may_be_refused(error):
    """Random schemas can be impossible: a property that must be there and cannot, a range without a number."""
    return "satisf" in error or "no number" in error


REGEXES = [r"[a-z]+", r"\d{3}-\d{3}-\d{4}", r"(yes|no|maybe)( \1)?".replace(r"\1", "not"), r"[^a-z]{3,8}", r"^abc$", r"a|b|",
           r"(?:[A-Z][a-z]{1,6} ){2,3}[.!?]", r"\$\d+\.\d{2}", r"[\w.+-]+@\w+\.\w{2,3}", r".{5,20}", r"[\u4e00-\u9fff]{2,6}",
           r"(?P<year>\d{4})-(?P<month>0[1-9]|1[0-2])", r"\S+", r"[]x]".replace("[]x]", r"[\]x]+"), r"(?i)hello", r"x{3}?y*?z"]

REFUSED_REGEXES = [(pattern, "regular expression, at byte") for pattern in (
    r"(a", r"a)", r"[z-a]", r"a**", r"(?<=a)b", r"\bword", r"a{3,1}", "[", "\\", r"\p{L}", r"a++", r"[^]")]
REFUSED_REGEXES += [(r"(a{1000}){1000}", "too complex"), (r"(a|b)*a(a|b){25}", "too complex"), ("a^", "satisfy")]

CHOICES = [["positive", "negative", "neutral"], ["a", "ab", "abc"], ["é", "e", "日本語"], ["only"],
           [f"label {i}" for i in range(300)]]


def balanced(text):
    depth = 0
    for character in text:
        depth += {"(": 1, ")": -1}[character]
        if depth < 0:
            return False
    return depth == 0


def arithmetic(text):
    return re.fullmatch(r"[0-9+*() -]+", text) is not None and balanced(re.sub(r"[^()]", "", text))


GRAMMARS = [
    ('root ::= "a" "b"* [c-e]{2,3} # comment', lambda text: re.fullmatch("ab*[c-e]{2,3}", text)),
    ('root ::= s\ns ::= "(" s ")" s | ""', balanced),
    ('root ::= expr\nexpr ::= term ("+" term)*\nterm ::= factor ("*" factor)*\nfactor ::= [0-9]+ | "(" expr ")"\n', arithmetic),
    ('root ::= "x" root "y" | "x" root "z" | "."', lambda text: re.fullmatch(r"x*\.[yz]*", text) and
     text.count("x") == len(text) - text.index(".") - 1),
    ('root ::= item ("," item)*\nitem ::= [^,\\n]{1,5}', lambda text: re.fullmatch(r"[^,\n]{1,5}(,[^,\n]{1,5})*", text)),
    ('root ::= "\\u00e9" "\\x41" [\\u4e00-\\u4e10]', lambda text: re.fullmatch("éA[\u4e00-\u4e10]", text)),
    ('start: greeting " " NAME\n?greeting: "hello"i | "hi" -> short\nNAME: /[A-Z][a-z]+/\n',
     lambda text: re.fullmatch("((?i:hello)|hi) [A-Z][a-z]+", text)),
    ('start: (WORD ",")~1..3 ["!"]\nWORD.2: "a".."z"'.replace('"a".."z"', "/[a-z]{1,4}/"),
     lambda text: re.fullmatch("([a-z]{1,4},){1,3}!?", text)),
]

REFUSED_GRAMMARS = [
    ('root ::= root "a" | "a"', "begin with itself"),
    ('root ::= a\na ::= b "x"\nb ::= "" a | "y"', "begin with itself"),
    ('root ::= missing', "missing"),
    ('other ::= "x"', "root"),
    ('root ::= "a', "line 1"),
    ('root ::= "a"\nroot ::= "b"', "line 2"),
    ('root ::= "(" root ")"', "satisfy"),
    ('start: "a"\n%import common.WS', "line 2"),
]
