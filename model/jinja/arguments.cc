#include "model/jinja/arguments.h"

#include <algorithm>

#include "absl/strings/str_split.h"
#include "model/jinja/error.h"
#include "model/jinja/operations.h"

namespace tandem::jinja {
namespace {

struct Signature {
  std::vector<absl::string_view> names;
  size_t required;
};

Signature ParseSignature(absl::string_view parameters) {
  const std::pair<absl::string_view, absl::string_view> halves = absl::StrSplit(parameters, absl::MaxSplits('|', 1));
  Signature signature;
  signature.names = absl::StrSplit(halves.first, ' ', absl::SkipEmpty());
  signature.required = signature.names.size();
  for (const absl::string_view name : absl::StrSplit(halves.second, ' ', absl::SkipEmpty())) {
    signature.names.push_back(name);
  }
  return signature;
}

BoundArguments Bind(const Builtin& builtin, const Arguments& arguments) {
  if (builtin.parameters == "*") {
    return BoundArguments(arguments, {});
  }
  const Signature signature = ParseSignature(builtin.parameters);
  std::vector<const Value*> bound(signature.names.size(), nullptr);
  if (arguments.positional.size() > bound.size()) {
    Fail(builtin.name, "() takes at most ", bound.size(), " argument(s), got ", arguments.positional.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    bound[i] = &arguments.positional[i];
  }
  for (const auto& [name, value] : arguments.keyword) {
    const auto found = std::find(signature.names.begin(), signature.names.end(), name);
    if (found == signature.names.end()) {
      Fail(builtin.name, "() got an unexpected keyword argument '", name, "'");
    }
    const Value*& slot = bound[static_cast<size_t>(found - signature.names.begin())];
    if (slot != nullptr) {
      Fail(builtin.name, "() got multiple values for argument '", name, "'");
    }
    slot = &value;
  }
  for (size_t i = 0; i < signature.required; ++i) {
    if (bound[i] == nullptr) {
      Fail(builtin.name, "() missing required argument '", signature.names[i], "'");
    }
  }
  return BoundArguments(arguments, std::move(bound));
}

class BoundBuiltin : public Object {
 public:
  BoundBuiltin(const Builtin& builtin, const Value& self)
      : Object(self.extent().depth + 1), builtin_(builtin), self_(self) {}
  std::string TypeName() const override { return "builtin_function_or_method"; }
  bool IsCallable() const override { return true; }
  Value Call(Runtime& runtime, const Arguments& arguments) override {
    return CallBuiltin(runtime, builtin_, self_, arguments);
  }

 private:
  const Builtin& builtin_;
  Value self_;
};

}  // namespace

int64_t BoundArguments::Int(size_t i, int64_t fallback) const {
  return Has(i) ? RequireInt(*bound_[i], "argument") : fallback;
}

bool BoundArguments::Bool(size_t i, bool fallback) const { return Has(i) ? Truthy(*bound_[i]) : fallback; }

Text BoundArguments::String(size_t i, absl::string_view fallback) const {
  if (!Has(i)) {
    return Text(std::string(fallback));
  }
  RequireDefined(*bound_[i]);
  if (!bound_[i]->IsString()) {
    Fail("argument must be str, not ", TypeName(*bound_[i]));
  }
  return bound_[i]->text();
}

std::optional<Text> BoundArguments::OptionalString(size_t i) const {
  return IsSet(i) ? std::optional<Text>(String(i)) : std::nullopt;
}

Value CallBuiltin(Runtime& runtime, const Builtin& builtin, const Value& self, const Arguments& arguments) {
  if (self.IsString()) {
    runtime.ChargeBytes(self.view().size());
  }
  return builtin.function(runtime, self, Bind(builtin, arguments));
}

const Builtin* FindBuiltin(absl::Span<const Builtin> table, absl::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Builtin& entry) { return entry.name == name; });
  return found == table.end() ? nullptr : &*found;
}

Value BindBuiltin(const Builtin& builtin, const Value& self) {
  return Value::Of(std::make_shared<BoundBuiltin>(builtin, self));
}

}  // namespace tandem::jinja
