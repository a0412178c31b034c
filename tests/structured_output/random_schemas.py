"""Random JSON schemas: nested, with every keyword that the server claims to support."""

PATTERNS = [r"^[a-z]{2,5}$", r"^\d{3}-\d{4}$", r"[A-Z]+", r"^(red|green|blue)$", r"^[^\s]+@[a-z]+\.com$", r"x.*y", r"^$|^a",
            r"^\w+\s\w+$", r"^[\u00e0-\u00ff]{1,3}", r"\"quoted\"", r"^\\d$", r"^\S{4}$", r"^.{2,6}$", r"(ab|cd){2}"]
FORMATS = ["date", "time", "date-time", "uuid", "email", "ipv4", "ipv6"]
NAMES = ["id", "name", "value", "items", "kind", "größe", "a b", "quo\"te", "x1", "back\\slash", "tags", "next", "emoji😀"]
TEXTS = ["", "yes", "no", "a \"b\"", "tab\t", "ünï", "\u2028", "back\\slash"]


class Schemas:
    def __init__(self, rng):
        self.rng = rng
        self.definitions = {}

    def pick(self, options):
        return self.rng.choice(options)

    def chance(self, probability):
        return self.rng.random() < probability

    def document(self):
        """A schema to be validated as it is. Most are objects, as clients send them."""
        self.definitions = {}
        schema = self.object(3) if self.chance(0.7) else self.schema(3)
        if self.definitions:
            schema = {**schema, "$defs": self.definitions}
        return schema

    def schema(self, depth):
        kinds = [self.string, self.integer, self.number, self.enumeration, self.constant, self.plain]
        if depth > 0:
            kinds += [self.object, self.object, self.array, self.array, self.any_of, self.one_of, self.all_of,
                      self.reference, self.tuple, self.mapping]
        return self.pick(kinds)(depth)

    def plain(self, depth):
        options = [{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {"type": ["integer", "boolean"]},
                   {"type": "string", "nullable": True}]
        if depth == 0:
            return self.pick(options[:4])
        return self.pick(options[:4] + [{}, True, {"type": "object"}, {"type": "array", "maxItems": 2}])

    def string(self, depth):
        schema = {"type": "string"}
        form = self.rng.randrange(5)
        if form == 0:
            schema["pattern"] = self.pick(PATTERNS)
            if schema["pattern"] in (r"[A-Z]+", r"x.*y", r"^$|^a") and self.chance(0.5):
                schema["maxLength"] = self.rng.randrange(2, 30)
        elif form == 1:
            schema["format"] = self.pick(FORMATS)
        elif form == 2:
            low = self.rng.randrange(0, 5)
            schema.update({"minLength": low, "maxLength": low + self.rng.randrange(0, 40)})
        elif form == 3:
            schema["minLength"] = self.rng.randrange(0, 20)
        return schema

    def bounds(self, scale, whole):
        value = (lambda: self.rng.randint(-scale, scale)) if whole else (lambda: self.number_value(scale))
        low, high = sorted((value(), value()))
        schema = {}
        if self.chance(0.7):
            schema[self.pick(["minimum", "exclusiveMinimum"])] = low
        if self.chance(0.7):
            schema[self.pick(["maximum", "exclusiveMaximum"])] = high + (3 if whole else scale / 4)
        return schema

    def number_value(self, scale):
        return self.pick([self.rng.uniform(-scale, scale), round(self.rng.uniform(-scale, scale), 2), 0, 0.1, -0.5, 1e-5])

    def integer(self, depth):
        schema = {"type": "integer", **self.bounds(self.pick([1, 10, 255, 65536, 10**12]), whole=True)}
        if self.chance(0.15):
            schema = {"type": "integer", "multipleOf": self.pick([2, 3, 5, 10, 60])}
        return schema

    def number(self, depth):
        return {"type": "number", **self.bounds(self.pick([1, 10, 1000, 1e9]), whole=False)}

    def enumeration(self, depth):
        values = self.rng.sample(TEXTS + [1, -2.5, None, True, 1e20], self.rng.randrange(1, 5))
        return {"enum": values}

    def constant(self, depth):
        return {"const": self.pick(TEXTS + [3, {"a": [1, 2]}, [], "x"])}

    def object(self, depth):
        names = self.rng.sample(NAMES, self.rng.randrange(1, 5))
        properties = {name: self.schema(depth - 1) for name in names}
        schema = {"type": "object", "properties": properties}
        required = [name for name in names if self.chance(0.6)]
        if required or self.chance(0.5):
            schema["required"] = required
        form = self.rng.randrange(6)
        if form <= 1:
            schema["additionalProperties"] = False
        elif form == 2:
            schema["additionalProperties"] = self.schema(0)
        elif form == 3:
            schema["patternProperties"] = {"^s_": {"type": "string"}, "_n$": {"type": ["integer", "string"]}}
            schema["additionalProperties"] = self.chance(0.5)
        if self.chance(0.15):
            schema["minProperties"] = self.rng.randint(0, len(names))
        if self.chance(0.15):
            schema["maxProperties"] = max(len(names), schema.get("minProperties", 0))
        if self.chance(0.1):
            del schema["type"]
        return schema

    def mapping(self, depth):
        schema = {"type": "object", "additionalProperties": self.schema(depth - 1)}
        if self.chance(0.3):
            schema["propertyNames"] = {"pattern": "^[a-z_]{1,8}$"}
        if self.chance(0.3):
            schema["minProperties"] = 1
        if self.chance(0.3):
            schema["maxProperties"] = 2
        return schema

    def array(self, depth):
        schema = {"type": "array", "items": self.schema(depth - 1)}
        if self.chance(0.5):
            schema["minItems"] = self.rng.randrange(0, 3)
        if self.chance(0.6):
            schema["maxItems"] = schema.get("minItems", 0) + self.rng.randrange(0, 20)
        return schema

    def tuple(self, depth):
        schema = {"type": "array", "prefixItems": [self.schema(depth - 1) for _ in range(self.rng.randrange(1, 4))]}
        if self.chance(0.5):
            schema["items"] = self.pick([False, {"type": "integer"}])
        if self.chance(0.5):
            schema["minItems"] = self.rng.randrange(0, len(schema["prefixItems"]) + 1)
        return schema

    def any_of(self, depth):
        return {"anyOf": [self.schema(depth - 1) for _ in range(self.rng.randrange(1, 4))]}

    def one_of(self, depth):
        if self.chance(0.5):
            return {"oneOf": [{"type": "string", "maxLength": 9}, {"type": "integer"}, {"type": "null"}]}
        return {"oneOf": [{"type": "object", "properties": {"kind": {"const": kind}, "data": self.schema(depth - 1)},
                           "required": ["kind", "data"], "additionalProperties": False} for kind in ("cat", "dog")]}

    def all_of(self, depth):
        return {"allOf": [{"type": "object", "properties": {"a": self.schema(depth - 1)}, "required": ["a"]},
                          {"properties": {"b": self.schema(depth - 1), "a": {"type": ["string", "integer", "object"]}}}]}

    def reference(self, depth):
        name = self.pick(["tree", "list", "leaf"])
        if name not in self.definitions:
            self.definitions[name] = {}  # taken, while the body is made
            self.definitions[name] = {
                "tree": {"type": "object", "required": ["v"], "additionalProperties": False, "properties": {
                    "v": {"type": "integer", "minimum": 0, "maximum": 9},
                    "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 3}}},
                "list": {"anyOf": [{"type": "null"}, {"type": "object", "required": ["head", "tail"], "properties": {
                    "head": {"type": "string", "maxLength": 3}, "tail": {"$ref": "#/$defs/list"}}}]},
                "leaf": {"type": "string", "enum": ["l", "m"]},
            }[name]
        return {"$ref": "#/$defs/" + name}
