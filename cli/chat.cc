// tandem chat: a conversation in the terminal with any OpenAI-compatible server.
#ifdef TANDEM_HAVE_EDITLINE
#include <editline/readline.h>
#endif
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/http/client.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/flags.h"

namespace tandem::cli {
namespace {

using Json = nlohmann::ordered_json;

struct ChatFlags {
  std::string url = "http://127.0.0.1:8000";
  std::string api_key;
  std::string model;
  std::string system;
  float temperature = -1;
  int max_tokens = 0;
  int64_t seed = -1;
};

constexpr char kHelp[] =
    "/new starts over, /system TEXT sets the system message and starts over, /exit or Ctrl-D leaves.\n";

// A line from the terminal, with editing and history where there is one; nullopt at the end of input.
std::optional<std::string> ReadUserLine() {
#ifdef TANDEM_HAVE_EDITLINE
  if (isatty(STDIN_FILENO) != 0) {
    const std::unique_ptr<char, decltype(&std::free)> line(readline("> "), &std::free);
    if (line == nullptr) {
      return std::nullopt;
    }
    if (*line != '\0') {
      add_history(line.get());
    }
    return std::string(line.get());
  }
#endif
  std::string line;
  return std::getline(std::cin, line) ? std::optional<std::string>(line) : std::nullopt;
}

absl::Status ServerError(int status, absl::string_view body) {
  const Json json = Json::parse(body.begin(), body.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("error") && json["error"].is_object()) {
    return absl::InternalError(absl::StrCat("the server answered ", status, ": ", json["error"].value("message", "")));
  }
  return absl::InternalError(absl::StrCat("the server answered ", status));
}

// One conversation.
class Conversation {
 public:
  Conversation(http::Client client, const ChatFlags& flags) : client_(std::move(client)), flags_(flags) { Reset(); }

  void Reset() {
    messages_ = Json::array();
    if (!flags_.system.empty()) {
      messages_.push_back({{"role", "system"}, {"content", flags_.system}});
    }
  }

  void SetSystem(std::string text) {
    flags_.system = std::move(text);
    Reset();
  }

  // Sends the user's turn and prints the answer as it comes. On an error the turn is taken back.
  absl::Status Ask(const std::string& text) {
    messages_.push_back({{"role", "user"}, {"content", text}});
    std::string answer;
    std::string error;
    const absl::StatusOr<http::ClientResponse> response =
        client_.PostForEvents("/v1/chat/completions", Request().dump(-1, ' ', false, Json::error_handler_t::replace),
                              [&](absl::string_view data) { return OnEvent(data, answer, error); });
    std::printf("\n");
    absl::Status status = response.status();
    if (status.ok() && response->status != 200) {
      status = ServerError(response->status, response->body);
    } else if (status.ok() && !error.empty()) {
      status = absl::InternalError(error);
    }
    if (!status.ok()) {
      messages_.erase(messages_.size() - 1);
      return status;
    }
    messages_.push_back({{"role", "assistant"}, {"content", answer}});
    return absl::OkStatus();
  }

 private:
  Json Request() const {
    Json request = {{"messages", messages_}, {"stream", true}};
    if (!flags_.model.empty()) {
      request["model"] = flags_.model;
    }
    if (flags_.temperature >= 0) {
      request["temperature"] = flags_.temperature;
    }
    if (flags_.max_tokens > 0) {
      request["max_tokens"] = flags_.max_tokens;
    }
    if (flags_.seed >= 0) {
      request["seed"] = flags_.seed;
    }
    return request;
  }

  bool OnEvent(absl::string_view data, std::string& answer, std::string& error) {
    if (data == "[DONE]") {
      return true;
    }
    const Json json = Json::parse(data.begin(), data.end(), nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) {
      return true;
    }
    if (json.contains("error") && json["error"].is_object()) {
      error = json["error"].value("message", "the server reported an error");
      return true;
    }
    std::string reasoning = TextAt(json, "/choices/0/delta/reasoning_content");
    if (reasoning.empty()) {
      reasoning = TextAt(json, "/choices/0/delta/reasoning");
    }
    ShowReasoning(reasoning);
    const std::string text = TextAt(json, "/choices/0/delta/content");
    if (answer.empty() && !text.empty()) {
      EndReasoning();
    }
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
    answer += text;
    return true;
  }

  // Empty when there is no text.
  static std::string TextAt(const Json& json, const char* path) {
    const Json::json_pointer pointer(path);
    return json.contains(pointer) && json[pointer].is_string() ? json[pointer].get<std::string>() : "";
  }

  // For people only: standard output has the answer alone.
  void ShowReasoning(const std::string& text) {
    if (!text.empty() && isatty(STDERR_FILENO) != 0) {
      std::fprintf(stderr, "\033[2m%s\033[0m", text.c_str());
      reasoning_shown_ = true;
    }
  }

  void EndReasoning() {
    if (std::exchange(reasoning_shown_, false)) {
      std::fputs("\n\n", stderr);
    }
  }

  http::Client client_;
  ChatFlags flags_;
  Json messages_;
  bool reasoning_shown_ = false;
};

absl::Status Run(const ChatFlags& flags) {
  ASSIGN_OR_RETURN(http::Client client, http::Client::Create(flags.url));
  if (!flags.api_key.empty()) {
    client.AddHeader("Authorization", absl::StrCat("Bearer ", flags.api_key));
  }
  const absl::StatusOr<http::ClientResponse> health = client.Get("/v1/models");
  if (!health.ok()) {
    return absl::UnavailableError(absl::StrCat("no server at ", flags.url, " (", health.status().message(),
                                               "): start one with `tandem serve MODEL` or give --url"));
  }
  if (health->status != 200) {
    return ServerError(health->status, health->body);
  }
  const bool terminal = isatty(STDIN_FILENO) != 0;
  if (terminal) {
    std::fputs(kHelp, stderr);
  }
  Conversation conversation(std::move(client), flags);
  absl::Status last;
  while (const std::optional<std::string> line = ReadUserLine()) {
    absl::string_view text = *line;
    if (text.empty()) {
      continue;
    }
    if (text == "/exit" || text == "/quit") {
      break;
    }
    if (text == "/new") {
      conversation.Reset();
    } else if (absl::ConsumePrefix(&text, "/system ")) {
      conversation.SetSystem(std::string(text));
    } else if (text == "/help") {
      std::fputs(kHelp, stderr);
    } else {
      last = conversation.Ask(*line);
      if (!last.ok()) {
        std::fprintf(stderr, "%s\n", std::string(last.message()).c_str());
      }
    }
  }
  return terminal ? absl::OkStatus() : last;
}

}  // namespace

void AddChat(CLI::App& app, CommandResult& result) {
  auto flags = std::make_shared<ChatFlags>();
  CLI::App* command = app.add_subcommand("chat", "Talk to a server in the terminal");
  command->add_option("--url", flags->url, "Address of the server")->capture_default_str();
  command->add_option("--api-key", flags->api_key, "Key of the server");
  command->add_option("--model", flags->model, "Model name; default: the server's");
  command->add_option("--system", flags->system, "System message");
  command->add_option("--temperature", flags->temperature, "Default: the server's")->check(CLI::Range(0.0, 2.0));
  command->add_option("--max-tokens", flags->max_tokens, "Longest answer; default: the server's");
  command->add_option("--seed", flags->seed, "Makes sampling repeatable")->check(CLI::NonNegativeNumber);
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = Run(*flags); });
}

}  // namespace tandem::cli
