#include "router/output_fields.h"

#include <utility>

#include "base/status.h"
#include "router/api_error.h"
#include "router/call_constraint.h"
#include "router/chat_messages.h"
#include "router/tool_request.h"

namespace tandem::router {
namespace {

// tool_choice "required" or a named tool. Constraints are made on this thread, but not before it is known where the
// prompt ends.
absl::Status ForceCalls(const ToolRequest& request, const RequestContext& context, OutputFormats& formats,
                        CompletionRequest& out) {
  if (context.structured_output == nullptr) {
    return UnsupportedField("tool_choice");
  }
  formats.tools = ForcedFormat(formats.tools);
  ForcedCalls calls = {.formats = formats, .tools = Json::array()};
  for (const Json& tool : request.tools) {
    if (request.choice == ToolChoice::kRequired || tool["function"]["name"] == request.name) {
      calls.tools.push_back(tool);
    }
  }
  calls.several = request.choice == ToolChoice::kRequired && request.parallel;
  out.make_constraint = [output = context.structured_output, calls = std::move(calls)](bool begins_in_reasoning) {
    ForcedCalls all = calls;
    all.begins_in_reasoning = begins_in_reasoning;
    return ConstrainToCalls(*output, all);
  };
  return absl::OkStatus();
}

absl::StatusOr<std::optional<GrammarSpec>> ReadSpec(FieldReader& fields, const RequestContext& context) {
  ASSIGN_OR_RETURN(std::optional<GrammarSpec> spec, ReadStructuredOutput(fields));
  if (spec.has_value() && context.structured_output == nullptr) {
    return UnsupportedField(spec->field);
  }
  return spec;
}

absl::Status ReadTools(FieldReader& fields, const RequestContext& context, ChatPrompt& prompt,
                       OutputParserOptions& output, CompletionRequest& out) {
  ASSIGN_OR_RETURN(ToolRequest request, ReadToolRequest(fields));
  if (request.choice == ToolChoice::kNone) {
    return absl::OkStatus();
  }
  if (context.formats.tools == ToolFormat::kNone) {
    return WithApiCode(absl::UnimplementedError("'tools' need a parser for this model's tool calls: start the server "
                                                "with --tool-call-parser"),
                       "unsupported_parameter", "tools");
  }
  output.formats.tools = context.formats.tools;
  if (request.choice != ToolChoice::kAuto) {
    RETURN_IF_ERROR(ForceCalls(request, context, output.formats, out));
  }
  output.schemas = ToolSchemas(request.tools);
  output.parallel_tool_calls = request.parallel;
  prompt.tools = std::move(request.tools);
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadChatOutput(FieldReader& fields, const RequestContext& context, ChatPrompt& prompt,
                            CompletionRequest& out) {
  auto output = std::make_shared<OutputParserOptions>();
  RETURN_IF_ERROR(fields.Bool("include_reasoning", output->include_reasoning));
  output->formats.reasoning = context.formats.reasoning;
  RETURN_IF_ERROR(ReadTools(fields, context, prompt, *output, out));
  if (context.formats.tools != ToolFormat::kNone && SyntaxOf(context.formats.tools).short_ids) {
    ShortenToolCallIds(prompt.messages);
  }
  ASSIGN_OR_RETURN(std::optional<GrammarSpec> spec, ReadSpec(fields, context));
  if (spec.has_value() && !out.make_constraint) {
    out.make_constraint = [output = context.structured_output, spec = *std::move(spec),
                           reasoning = context.formats.reasoning](bool begins_in_reasoning) {
      return ConstrainAnswer(*output, spec, reasoning, begins_in_reasoning);
    };
  }
  out.output = std::move(output);
  return absl::OkStatus();
}

absl::Status ReadTextOutput(FieldReader& fields, const RequestContext& context, CompletionRequest& out) {
  ASSIGN_OR_RETURN(const std::optional<GrammarSpec> spec, ReadSpec(fields, context));
  if (spec.has_value()) {
    ASSIGN_OR_RETURN(out.constraint, context.structured_output->Constrain(*spec));
  }
  return absl::OkStatus();
}

}  // namespace tandem::router
