// The chat template of a model directory: turns a conversation into the prompt the model was trained on, as
// apply_chat_template of Hugging Face transformers does.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/jinja/template.h"

namespace tandem::model {

// A stretch of the prompt of one origin. Text that came from the request must not be read as control tokens.
struct PromptSegment {
  std::string text;
  bool from_input = false;
};

struct RenderedPrompt {
  std::string text;
  std::vector<PromptSegment> segments;  // their texts, joined, are `text`; neighbours differ in origin
};

struct ChatTemplateOptions {
  // Ends the prompt with the header of an assistant message. Excludes continue_final_message.
  bool add_generation_prompt = true;
  // Ends the prompt within the last message, so that the model goes on with it.
  bool continue_final_message = false;
  // Hands tool call arguments that are JSON text to the template as the object they describe.
  bool parse_tool_arguments = true;
  // More variables for the template (enable_thinking, documents, …), an object or null. They win over the special
  // tokens.
  nlohmann::ordered_json template_kwargs;
  // Limits of the rendering, and the clock behind strftime_now.
  jinja::RenderOptions render;
};

// Immutable, so safe to use from any number of threads.
class ChatTemplate {
 public:
  // Reads chat_template.jinja, or else "chat_template" of tokenizer_config.json, and the special tokens of the latter.
  // A list of named templates gives "default", and "tool_use" for conversations with tools.
  // A `template_file` that is given replaces the directory's templates.
  // FAILED_PRECONDITION when the directory has no template, INVALID_ARGUMENT when it is malformed, and the errors of
  // reading files.
  static absl::StatusOr<ChatTemplate> Load(const std::string& model_dir, const std::string& template_file = "");

  // The same from memory: `tokenizer_config` is the content of tokenizer_config.json, or null.
  // A not empty `source` wins over the templates in it.
  static absl::StatusOr<ChatTemplate> FromSource(absl::string_view source,
                                                 const nlohmann::ordered_json& tokenizer_config);

  // `messages`: a list of objects with role, content, … as in the OpenAI API; `tools`: a list, or null for none.
  // Strings in messages, tools and template_kwargs are marked as input, but for the usual roles. INVALID_ARGUMENT with
  // the template's line and message when the template refuses the conversation.
  absl::StatusOr<RenderedPrompt> Render(const nlohmann::ordered_json& messages, const nlohmann::ordered_json& tools,
                                        const ChatTemplateOptions& options) const;

  // Whether the template mentions the variable, for example "tools" or "enable_thinking".
  bool Mentions(absl::string_view variable) const {
    return default_.Mentions(variable) || (tool_use_ != nullptr && tool_use_->Mentions(variable));
  }

  // The text of the template, or of both.
  const std::string& source() const { return source_; }

 private:
  using SpecialTokens = std::vector<std::pair<std::string, std::string>>;

  ChatTemplate(std::string source, jinja::Template default_template, std::shared_ptr<const jinja::Template> tool_use,
               SpecialTokens tokens)
      : source_(std::move(source)),
        default_(std::move(default_template)),
        tool_use_(std::move(tool_use)),
        special_tokens_(std::move(tokens)) {}

  std::string source_;
  jinja::Template default_;
  std::shared_ptr<const jinja::Template> tool_use_;  // null: the default serves
  SpecialTokens special_tokens_;                     // such as ("bos_token", "<s>")
};

}  // namespace tandem::model
