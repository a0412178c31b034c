// The model's own tokenizer and chat template behind the interfaces of the completion layer.
#pragma once

#include <memory>
#include <string>

#include "absl/base/call_once.h"
#include "absl/status/statusor.h"
#include "model/chat_template.h"
#include "model/tokenizer/tokenizer.h"
#include "router/output_parser/output_parser.h"
#include "router/text_codec.h"

namespace tandem::router {

// Immutable, thread-safe.
class ModelTextCodec : public TextCodec {
 public:
  // Errors: those of model::Tokenizer::Load; INVALID_ARGUMENT when the tokenizer has ids beyond `vocab_size`, the rows
  // of the model's embedding.
  static absl::StatusOr<std::unique_ptr<ModelTextCodec>> Load(const std::string& model_dir, int64_t vocab_size);

  absl::StatusOr<std::vector<int32_t>> Encode(absl::Span<const PromptSpan> spans,
                                              bool add_special_tokens) const override;
  std::string Decode(absl::Span<const int32_t> tokens, bool skip_special_tokens) const override;
  std::unique_ptr<IncrementalDecoder> NewDecoder(bool skip_special_tokens,
                                                 absl::Span<const std::string> visible) const override;
  std::string TokenBytes(int32_t token) const override { return tokenizer_->TokenBytes(token); }
  bool IsSpecial(int32_t token) const override { return tokenizer_->IsSpecial(token); }

 private:
  explicit ModelTextCodec(std::unique_ptr<model::Tokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {}

  const std::unique_ptr<model::Tokenizer> tokenizer_;
};

// Immutable, thread-safe.
class ModelPromptTemplate : public PromptTemplate {
 public:
  // A model without a template loads too; rendering then fails. `template_file` replaces the model's own; empty: none.
  // Errors: INVALID_ARGUMENT for a template that does not parse, with its line.
  static absl::StatusOr<std::unique_ptr<ModelPromptTemplate>> Load(const std::string& model_dir,
                                                                   const std::string& template_file);

  bool available() const { return template_.ok(); }
  // How the model writes reasoning and tool calls, as far as its template shows; kNone without a template.
  OutputFormats formats() const;
  // Whether the template shows the tools of a request to the model.
  bool knows_tools() const { return template_.ok() && template_->Mentions("tools"); }

  // Tools that the template does not show are left out; the first time that is logged.
  absl::StatusOr<std::vector<PromptSpan>> Render(const Json& messages, const Json& tools,
                                                 const PromptOptions& options) const override;

 private:
  absl::StatusOr<model::RenderedPrompt> RenderAnyForm(const Json& messages, const Json& tools,
                                                      model::ChatTemplateOptions options) const;

  mutable absl::once_flag tools_warning_;
  absl::StatusOr<model::ChatTemplate> template_ = absl::FailedPreconditionError("no template was loaded");
};

}  // namespace tandem::router
