#include "router/model_text.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::router {
namespace {

class ModelDecoder : public IncrementalDecoder {
 public:
  ModelDecoder(const model::Tokenizer& tokenizer, bool skip_special_tokens) : decoder_(tokenizer, skip_special_tokens) {}
  std::string Push(int32_t token) override { return decoder_.Push(token); }
  std::string Flush() override { return decoder_.Flush(); }

 private:
  model::IncrementalDecoder decoder_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelTextCodec>> ModelTextCodec::Load(const std::string& model_dir,
                                                                     int64_t vocab_size) {
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

std::unique_ptr<IncrementalDecoder> ModelTextCodec::NewDecoder(bool skip_special_tokens) const {
  return std::make_unique<ModelDecoder>(*tokenizer_, skip_special_tokens);
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

absl::StatusOr<std::vector<PromptSpan>> ModelPromptTemplate::Render(const Json& messages, const Json& tools,
                                                                    const PromptOptions& options) const {
  RETURN_IF_ERROR(template_.status());
  model::ChatTemplateOptions render;
  render.add_generation_prompt = options.add_generation_prompt;
  render.continue_final_message = options.continue_final_message;
  render.template_kwargs = options.kwargs;
  ASSIGN_OR_RETURN(model::RenderedPrompt prompt, template_->Render(messages, tools, render));
  std::vector<PromptSpan> spans;
  for (auto& segment : prompt.segments) {
    spans.push_back({std::move(segment.text), !segment.from_input});
  }
  return spans;
}

}  // namespace tandem::router
