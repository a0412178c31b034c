#include "model/chat_template.h"

#include <algorithm>

#include "base/file.h"
#include "base/status.h"
#include "model/jinja/text_operations.h"

namespace tandem::model {
namespace {

using Json = nlohmann::ordered_json;

constexpr absl::string_view kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                "pad_token", "cls_token", "mask_token"};

// "<s>" or {"content": "<s>", …}; empty when absent or null.
std::string TokenText(const Json& config, absl::string_view name) {
  const auto found = config.is_object() ? config.find(std::string(name)) : config.end();
  if (found == config.end()) {
    return "";
  }
  const Json& token = found->is_object() && found->contains("content") ? (*found)["content"] : *found;
  return token.is_string() ? token.get<std::string>() : "";
}

// Roles of the API. They name no control token that the template did not spell out, so they are not marked as input.
constexpr absl::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool", "function"};

struct Sources {
  std::string default_source;
  std::string tool_use;
};

absl::StatusOr<Sources> NamedSources(const Json& list) {
  Sources sources;
  for (const Json& entry : list) {
    if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string() || !entry.contains("template") ||
        !entry["template"].is_string()) {
      return absl::InvalidArgumentError(
          "tokenizer_config.json: each entry of \"chat_template\" needs the strings \"name\" and \"template\"");
    }
    const auto source = entry["template"].get<std::string>();
    if (entry["name"] == "default") {
      sources.default_source = source;
    } else if (entry["name"] == "tool_use") {
      sources.tool_use = source;
    }
  }
  if (sources.default_source.empty()) {
    sources.default_source = sources.tool_use;
  }
  return sources;
}

absl::StatusOr<Sources> SourcesOf(absl::string_view source, const Json& config) {
  if (!source.empty()) {
    return Sources{std::string(source), ""};
  }
  const auto found = config.is_object() ? config.find("chat_template") : config.end();
  if (found != config.end() && found->is_string()) {
    return Sources{found->get<std::string>(), ""};
  }
  if (found != config.end() && found->is_array()) {
    return NamedSources(*found);
  }
  return Sources{};
}

absl::StatusOr<jinja::Template> ParseTemplate(absl::string_view source) {
  auto parsed = jinja::Template::Parse(source);
  return parsed.ok() ? std::move(parsed) : Annotate(parsed.status(), "chat template");
}

// Replaces tool call arguments that are JSON text by the object they describe; other text stays.
void ParseToolArguments(Json* message) {
  if (!message->is_object() || !message->contains("tool_calls") || !(*message)["tool_calls"].is_array()) {
    return;
  }
  for (Json& call : (*message)["tool_calls"]) {
    Json* const function = call.is_object() && call.contains("function") ? &call["function"] : &call;
    if (!function->is_object() || !function->contains("arguments") || !(*function)["arguments"].is_string()) {
      continue;
    }
    Json arguments = Json::parse((*function)["arguments"].get_ref<const std::string&>(), nullptr, false);
    if (arguments.is_object()) {
      (*function)["arguments"] = std::move(arguments);
    }
  }
}

// The text that `continue_final_message` ends the prompt with: a string content, or the last text among its parts.
absl::StatusOr<std::string> FinalText(const Json& messages) {
  const Json* content = !messages.empty() && messages.back().is_object() && messages.back().contains("content")
                            ? &messages.back()["content"]
                            : nullptr;
  if (content != nullptr && content->is_array()) {
    const auto part = std::find_if(content->rbegin(), content->rend(), [](const Json& candidate) {
      return candidate.is_object() && candidate.contains("text");
    });
    content = part == content->rend() ? nullptr : &(*part)["text"];
  }
  if (content == nullptr || !content->is_string()) {
    return absl::InvalidArgumentError("continue_final_message needs a last message whose content is text");
  }
  return content->get<std::string>();
}

// Cuts the prompt behind the last occurrence of `final_text`, without the white space the template strips from it.
absl::StatusOr<jinja::Text> CutAfter(const jinja::Text& prompt, const std::string& final_text) {
  const jinja::Text text(final_text);
  const jinja::Text stripped = jinja::Strip(text, std::nullopt, jinja::Side::kBoth);
  const jinja::Text left_stripped = jinja::Strip(text, std::nullopt, jinja::Side::kLeft);
  const size_t position = jinja::FindLastBytes(prompt.view(), stripped.view());
  if (position == absl::string_view::npos) {
    return absl::InvalidArgumentError(
        "continue_final_message is set, but the chat template changes the last message, so the prompt cannot end in "
        "it");
  }
  const bool keeps_space = prompt.view().substr(position, left_stripped.size()) == final_text;
  return prompt.Substr(0, position + (keeps_space ? left_stripped.size() : stripped.size()));
}

RenderedPrompt ToPrompt(const jinja::Text& text) {
  RenderedPrompt prompt;
  prompt.text = text.bytes();
  size_t begin = 0;
  for (const auto& span : text.spans()) {
    prompt.segments.push_back({prompt.text.substr(begin, span.end - begin), span.from_input});
    begin = span.end;
  }
  return prompt;
}

absl::Status CheckArguments(const Json& messages, const Json& tools, const ChatTemplateOptions& options) {
  if (!messages.is_array()) {
    return absl::InvalidArgumentError("messages must be a list");
  }
  if (!tools.is_null() && !tools.is_array()) {
    return absl::InvalidArgumentError("tools must be a list or null");
  }
  if (!options.template_kwargs.is_null() && !options.template_kwargs.is_object()) {
    return absl::InvalidArgumentError("chat_template_kwargs must be an object");
  }
  if (options.add_generation_prompt && options.continue_final_message) {
    return absl::InvalidArgumentError("continue_final_message and add_generation_prompt exclude each other; set one");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadIfPresent(const std::string& path) {
  return FileExists(path) ? ReadFile(path) : std::string();
}

}  // namespace

absl::StatusOr<ChatTemplate> ChatTemplate::Load(const std::string& model_dir, const std::string& template_file) {
  const std::string config_path = JoinPath(model_dir, "tokenizer_config.json");
  ASSIGN_OR_RETURN(const std::string source, template_file.empty()
                                                 ? ReadIfPresent(JoinPath(model_dir, "chat_template.jinja"))
                                                 : ReadFile(template_file));
  ASSIGN_OR_RETURN(const std::string config_text, ReadIfPresent(config_path));
  const Json config = config_text.empty() ? Json() : Json::parse(config_text, nullptr, /*allow_exceptions=*/false);
  if (config.is_discarded()) {
    return absl::InvalidArgumentError(absl::StrCat(config_path, ": not valid JSON"));
  }
  auto loaded = FromSource(source, config);
  return loaded.ok() ? std::move(loaded) : Annotate(loaded.status(), model_dir);
}

absl::StatusOr<ChatTemplate> ChatTemplate::FromSource(absl::string_view source, const Json& tokenizer_config) {
  ASSIGN_OR_RETURN(const Sources sources, SourcesOf(source, tokenizer_config));
  if (sources.default_source.empty()) {
    return absl::FailedPreconditionError(
        "the model has no chat template: add chat_template.jinja (or \"chat_template\" in tokenizer_config.json) to "
        "its "
        "directory, give one with --chat-template, or use /v1/completions");
  }
  ASSIGN_OR_RETURN(jinja::Template default_template, ParseTemplate(sources.default_source));
  std::shared_ptr<const jinja::Template> tool_use;
  if (!sources.tool_use.empty()) {
    ASSIGN_OR_RETURN(jinja::Template parsed, ParseTemplate(sources.tool_use));
    tool_use = std::make_shared<const jinja::Template>(std::move(parsed));
  }
  SpecialTokens tokens;
  for (const absl::string_view name : kSpecialTokens) {
    if (std::string text = TokenText(tokenizer_config, name); !text.empty()) {
      tokens.emplace_back(std::string(name), std::move(text));
    }
  }
  return ChatTemplate(absl::StrCat(sources.default_source, sources.tool_use), std::move(default_template),
                      std::move(tool_use), std::move(tokens));
}

absl::StatusOr<RenderedPrompt> ChatTemplate::Render(const Json& messages, const Json& tools,
                                                    const ChatTemplateOptions& options) const {
  RETURN_IF_ERROR(CheckArguments(messages, tools, options));
  Json conversation = messages;
  if (options.parse_tool_arguments) {
    for (Json& message : conversation) {
      ParseToolArguments(&message);
    }
  }
  const bool has_tools = tools.is_array() && !tools.empty();
  jinja::Context context;
  for (const auto& [name, text] : special_tokens_) {
    RETURN_IF_ERROR(context.Set(name, text, /*from_input=*/false));
  }
  RETURN_IF_ERROR(context.Set("documents", nullptr, true));
  for (const auto& [name, value] : options.template_kwargs.items()) {
    RETURN_IF_ERROR(context.Set(name, value, /*from_input=*/true));
  }
  RETURN_IF_ERROR(context.SetRecords("messages", conversation, "role", kRoles));
  RETURN_IF_ERROR(context.Set("tools", has_tools ? tools : Json(), /*from_input=*/true));
  RETURN_IF_ERROR(context.Set("add_generation_prompt", options.add_generation_prompt, false));

  const jinja::Template& chosen = has_tools && tool_use_ != nullptr ? *tool_use_ : default_;
  auto text = chosen.Render(context, options.render);
  if (!text.ok()) {
    return Annotate(text.status(), "chat template");
  }
  if (options.continue_final_message) {
    ASSIGN_OR_RETURN(const std::string final_text, FinalText(conversation));
    ASSIGN_OR_RETURN(text, CutAfter(*text, final_text));
  }
  return ToPrompt(*text);
}

}  // namespace tandem::model
