#include "router/model_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"

namespace tandem::router {
namespace {

// Replaces content that is null by "". True if any was.
bool FillContent(Json& messages) {
  bool any = false;
  for (Json& message : messages) {
    if (message.is_object() && message.contains("content") && message["content"].is_null()) {
      message["content"] = "";
      any = true;
    }
  }
  return any;
}

bool HasToolCalls(const Json& messages) {
  return std::any_of(messages.begin(), messages.end(),
                     [](const Json& message) { return message.is_object() && message.contains("tool_calls"); });
}

class ModelDecoder : public IncrementalDecoder {
 public:
  ModelDecoder(const model::Tokenizer& tokenizer, bool skip_special_tokens, std::vector<int32_t> visible)
      : decoder_(tokenizer, skip_special_tokens, std::move(visible)) {}
  std::string Push(int32_t token) override { return decoder_.Push(token); }
  std::string Flush() override { return decoder_.Flush(); }

 private:
  model::IncrementalDecoder decoder_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelTextCodec>> ModelTextCodec::Load(const std::string& model_dir, int64_t vocab_size) {
  ASSIGN_OR_RETURN(std::unique_ptr<model::Tokenizer> tokenizer, model::Tokenizer::Load(model_dir));
  if (tokenizer->vocab_size() > vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer.json has ", tokenizer->vocab_size(),
                                                   " ids, config.json's vocab_size is ", vocab_size,
                                                   ": they belong to different models"));
  }
  return std::unique_ptr<ModelTextCodec>(new ModelTextCodec(std::move(tokenizer)));
}

absl::StatusOr<std::vector<int32_t>> ModelTextCodec::Encode(absl::Span<const PromptSpan> spans,
                                                            bool add_special_tokens) const {
  std::vector<model::TextSpan> texts;
  for (const PromptSpan& span : spans) {
    texts.push_back({span.text, span.parse_special});
  }
  return tokenizer_->EncodeSpans(texts, {.add_special_tokens = add_special_tokens});
}

std::string ModelTextCodec::Decode(absl::Span<const int32_t> tokens, bool skip_special_tokens) const {
  return tokenizer_->Decode(tokens, skip_special_tokens);
}

std::unique_ptr<IncrementalDecoder> ModelTextCodec::NewDecoder(bool skip_special_tokens,
                                                               absl::Span<const std::string> visible) const {
  std::vector<int32_t> ids;
  for (const std::string& token : visible) {
    if (const std::optional<int32_t> id = tokenizer_->TokenToId(token)) ids.push_back(*id);
  }
  return std::make_unique<ModelDecoder>(*tokenizer_, skip_special_tokens, std::move(ids));
}

absl::StatusOr<std::unique_ptr<ModelPromptTemplate>> ModelPromptTemplate::Load(const std::string& model_dir,
                                                                               const std::string& template_file) {
  auto prompt_template = std::make_unique<ModelPromptTemplate>();
  absl::StatusOr<model::ChatTemplate> loaded = model::ChatTemplate::Load(model_dir, template_file);
  if (!loaded.ok() && loaded.status().code() != absl::StatusCode::kFailedPrecondition) {
    return loaded.status();
  }
  prompt_template->template_ = std::move(loaded);
  return prompt_template;
}

OutputFormats ModelPromptTemplate::formats() const {
  return template_.ok() ? DetectOutputFormats(template_->source()) : OutputFormats();
}

// Templates differ in what they take: null or "" as the content of a message that is all tool calls, arguments as an
// object or as text. The usual forms come first; a template that takes none of them has refused the first.
absl::StatusOr<model::RenderedPrompt> ModelPromptTemplate::RenderAnyForm(const Json& messages, const Json& tools,
                                                                         model::ChatTemplateOptions options) const {
  Json filled = messages;
  const bool has_null = FillContent(filled);
  const Json* const forms[] = {&messages, &filled};
  absl::Status refusal;
  for (const bool parse_arguments : {true, false}) {
    options.parse_tool_arguments = parse_arguments;
    for (const Json* form : forms) {
      const bool is_new = (parse_arguments || HasToolCalls(messages)) && (form == &messages || has_null);
      if (!is_new) continue;
      absl::StatusOr<model::RenderedPrompt> prompt = template_->Render(*form, tools, options);
      if (prompt.ok()) return prompt;
      refusal.Update(prompt.status());  // keeps the first
    }
  }
  return refusal;
}

absl::StatusOr<std::vector<PromptSpan>> ModelPromptTemplate::Render(const Json& messages, const Json& tools,
                                                                    const PromptOptions& options) const {
  RETURN_IF_ERROR(template_.status());
  if (!tools.is_null() && !knows_tools()) {
    absl::call_once(tools_warning_, [] {
      spdlog::warn(
          "the chat template does not show 'tools' to the model: it calls them only where 'tool_choice' says so");
    });
  }
  model::ChatTemplateOptions render;
  render.add_generation_prompt = options.add_generation_prompt;
  render.continue_final_message = options.continue_final_message;
  render.template_kwargs = options.kwargs;
  ASSIGN_OR_RETURN(model::RenderedPrompt prompt, RenderAnyForm(messages, tools, render));
  std::vector<PromptSpan> spans;
  for (auto& segment : prompt.segments) {
    spans.push_back({std::move(segment.text), !segment.from_input});
  }
  return spans;
}

}  // namespace tandem::router
