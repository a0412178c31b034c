#include "cli/config_file.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/file.h"

namespace tandem::cli {
namespace {

constexpr char kFlag[] = "--config";

// The innermost subcommand that the arguments name.
CLI::App* ChosenCommand(int argc, char** argv, CLI::App& app) {
  CLI::App* command = &app;
  for (int i = 1; i < argc; ++i) {
    const auto matches = command->get_subcommands([&](CLI::App* candidate) { return candidate->check_name(argv[i]); });
    if (matches.empty()) {
      break;
    }
    command = matches.front();
  }
  return command;
}

std::string ConfigPath(int argc, char** argv) {
  const char* from_environment = std::getenv("TANDEM_CONFIG");
  std::string path = from_environment == nullptr ? "" : from_environment;
  for (int i = 1; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    if (argument == kFlag && i + 1 < argc) {
      path = argv[i + 1];
    } else if (argument.substr(0, sizeof(kFlag)) == absl::StrCat(kFlag, "=")) {
      path = std::string(argument.substr(sizeof(kFlag)));
    }
  }
  return path;
}

// Levenshtein distance, for suggestions.
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::string NearestFlag(const CLI::App& command, absl::string_view key) {
  std::string nearest;
  for (const CLI::Option* option : command.get_options()) {
    const std::string name = option->get_single_name();
    if (nearest.empty() || Distance(name, key) < Distance(nearest, key)) {
      nearest = name;
    }
  }
  return nearest;
}

std::string ValueOf(const YAML::Node& node) {
  if (!node.IsSequence()) {
    return node.as<std::string>();
  }
  std::vector<std::string> items;
  for (const YAML::Node& item : node) {
    items.push_back(item.as<std::string>());
  }
  return absl::StrJoin(items, ",");
}

void Apply(const std::string& key, const YAML::Node& value, CLI::App& command, const std::string& where) {
  CLI::Option* option = command.get_option_no_throw(absl::StrCat("--", key));
  if (option == nullptr) {
    option = command.get_option_no_throw(key);  // positional
  }
  if (option == nullptr || key == "config" || key == "help") {
    throw CLI::ValidationError(absl::StrCat(where, ": ", command.get_name(), " has no flag '", key, "'; did you mean '",
                                            NearestFlag(command, key), "'?"));
  }
  if (!option->get_envname().empty() && std::getenv(option->get_envname().c_str()) != nullptr) {
    return;
  }
  try {
    option->default_val(ValueOf(value));
  } catch (const CLI::Error& error) {
    throw CLI::ValidationError(absl::StrCat(where, ": ", key, ": ", error.what()));
  }
  option->required(false);
}

}  // namespace

absl::Status ApplyConfigFile(int argc, char** argv, CLI::App& app) {
  const std::string path = ConfigPath(argc, argv);
  if (path.empty()) {
    return absl::OkStatus();
  }
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    return text.status();
  }
  try {
    const YAML::Node file = YAML::Load(*text);
    if (!file.IsMap()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": expected an object of flag: value"));
    }
    CLI::App* command = ChosenCommand(argc, argv, app);
    for (const auto& entry : file) {
      const std::string where = absl::StrCat(path, ":", entry.first.Mark().line + 1);
      Apply(entry.first.as<std::string>(), entry.second, *command, where);
    }
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":", error.mark.line + 1, ": ", error.msg));
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(error.what());
  }
  return absl::OkStatus();
}

}  // namespace tandem::cli
