#include "router/call_constraint.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"

namespace tandem::router {
namespace {

// Equal for equal reasoning only.
std::string KeyOf(ReasoningFormat reasoning, bool begins_in_reasoning) {
  return absl::StrCat(ReasoningFormatName(reasoning), begins_in_reasoning ? " inside" : " outside");
}

std::string KeyOf(const ForcedCalls& calls) {
  return absl::StrCat("calls ", ToolFormatName(calls.formats.tools), " ",
                      KeyOf(calls.formats.reasoning, calls.begins_in_reasoning), calls.several ? " several " : " one ",
                      calls.tools.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TokenConstraint>> ConstrainToCalls(StructuredOutput& output,
                                                                        const ForcedCalls& calls) {
  const auto compose = [&calls](grammar::GrammarBuilder& builder, grammar::JsonText& text) {
    const SchemaCompiler compile = [&](const Json& schema) { return grammar::JsonSchema(schema, builder, text); };
    return ForcedCallsExpression(calls, compile, builder.budget());
  };
  auto constraint = output.Constrain(KeyOf(calls), compose);
  if (!constraint.ok() && constraint.status().code() == absl::StatusCode::kInvalidArgument) {
    return InvalidField("tools", absl::StrCat("'tools' cannot be forced: ", constraint.status().message()));
  }
  return constraint;
}

absl::StatusOr<std::shared_ptr<const TokenConstraint>> ConstrainAnswer(StructuredOutput& output,
                                                                       const GrammarSpec& spec,
                                                                       ReasoningFormat reasoning,
                                                                       bool begins_in_reasoning) {
  if (reasoning == ReasoningFormat::kNone) {
    return output.Constrain(spec);
  }
  return output.ConstrainBehind(
      KeyOf(reasoning, begins_in_reasoning),
      [=](grammar::GrammarBuilder& builder, grammar::JsonText&) {
        return ReasoningExpression(reasoning, begins_in_reasoning, builder.budget());
      },
      spec);
}

}  // namespace tandem::router
