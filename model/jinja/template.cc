#include "model/jinja/template.h"

#include <algorithm>
#include <new>
#include <stdexcept>

#include "model/jinja/error.h"
#include "model/jinja/evaluator.h"
#include "model/jinja/parser.h"

namespace tandem::jinja {
namespace {

absl::Status ToStatus(const TemplateError& error) {
  return absl::Status(error.code,
                      error.line == 0 ? error.message : absl::StrCat("line ", error.line, ": ", error.message));
}

// Runs `action` and turns what it throws into a status: the border of the library.
template <typename Result, typename Action>
Result Guard(Action action) {
  try {
    return action();
  } catch (const TemplateError& error) {
    return ToStatus(error);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory while handling a template");
  } catch (const std::length_error&) {
    return absl::ResourceExhaustedError("a template asked for an impossibly long text");
  }
}

Value RecordValue(const nlohmann::ordered_json& record, absl::string_view trusted_key,
                  absl::Span<const absl::string_view> trusted) {
  if (!record.is_object()) {
    return Value::FromJson(record, /*from_input=*/true);
  }
  Dict dict;
  for (const auto& [key, member] : record.items()) {
    const bool is_trusted =
        key == trusted_key && member.is_string() &&
        std::find(trusted.begin(), trusted.end(), member.get_ref<const std::string&>()) != trusted.end();
    dict.Set(Value::String(Text(key, true)), Value::FromJson(member, !is_trusted));
  }
  return Value::Of(std::move(dict));
}

}  // namespace

absl::Status Context::Set(absl::string_view name, const nlohmann::ordered_json& value, bool from_input) {
  return Guard<absl::Status>([&] {
    variables_.insert_or_assign(std::string(name), Value::FromJson(value, from_input));
    return absl::OkStatus();
  });
}

absl::Status Context::SetRecords(absl::string_view name, const nlohmann::ordered_json& records, absl::string_view key,
                                 absl::Span<const absl::string_view> trusted) {
  return Guard<absl::Status>([&] {
    std::vector<Value> values;
    for (const auto& record : records) {
      values.push_back(RecordValue(record, key, trusted));
    }
    variables_.insert_or_assign(std::string(name), Value::List(std::move(values)));
    return absl::OkStatus();
  });
}

absl::StatusOr<Template> Template::Parse(absl::string_view source) {
  return Guard<absl::StatusOr<Template>>([&] { return Template(std::make_shared<const Ast>(jinja::Parse(source))); });
}

absl::StatusOr<Text> Template::Render(const Context& context, const RenderOptions& options) const {
  return Guard<absl::StatusOr<Text>>([&] { return Evaluator(*ast_, context.variables(), options).Run(); });
}

bool Template::Mentions(absl::string_view name) const {
  return std::find(ast_->symbols.begin(), ast_->symbols.end(), name) != ast_->symbols.end();
}

}  // namespace tandem::jinja
