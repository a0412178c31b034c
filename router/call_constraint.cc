#include "router/call_constraint.h"

#include "absl/strings/str_cat.h"
#include "router/api_error.h"

namespace tandem::router {
namespace {

// Equal for equal grammars only.
std::string KeyOf(const ForcedCalls& calls) {
  return absl::StrCat("calls ", ToolFormatName(calls.formats.tools), " ", ReasoningFormatName(calls.formats.reasoning),
                      calls.begins_in_reasoning ? " inside" : " outside", calls.several ? " several " : " one ",
                      calls.tools.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

CallConstrainer MakeCallConstrainer(StructuredOutput* structured_output) {
  return [structured_output](const ForcedCalls& calls) {
    const auto compose = [&calls](grammar::GrammarBuilder& builder, grammar::JsonText& text) {
      const SchemaCompiler compile = [&](const Json& schema) { return grammar::JsonSchema(schema, builder, text); };
      return ForcedCallsExpression(calls, compile, builder.budget());
    };
    auto constraint = structured_output->Constrain(KeyOf(calls), compose);
    if (!constraint.ok() && constraint.status().code() == absl::StatusCode::kInvalidArgument) {
      return absl::StatusOr<std::shared_ptr<const TokenConstraint>>(
          InvalidField("tools", absl::StrCat("'tools' cannot be forced: ", constraint.status().message())));
    }
    return constraint;
  };
}

}  // namespace tandem::router
