// The `tandem` binary: parses the command line and runs one subcommand.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/lock_checks.h"
#include "cli/command.h"
#include "cli/config_file.h"
#include "cli/version.h"

int main(int argc, char** argv) {
  using tandem::cli::kExitUsage;
  tandem::SkipLockChecksInRelease();
  CLI::App app("Tandem serves Mixture-of-Experts language models: routers run attention, expert workers run experts.",
               "tandem");
  app.set_version_flag("--version", tandem::cli::VersionString());
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  tandem::cli::CommandResult result;
  tandem::cli::AddServe(app, result);
  tandem::cli::AddRouter(app, result);
  tandem::cli::AddExpertWorker(app, result);
  tandem::cli::AddGenerate(app, result);
  tandem::cli::AddChat(app, result);
  tandem::cli::AddInspect(app, result);
  tandem::cli::AddBench(app, result);
  tandem::cli::AddPlan(app, result);
  if (const absl::Status config = tandem::cli::ApplyConfigFile(argc, argv, app); !config.ok()) {
    std::fprintf(stderr, "tandem: %s\n", std::string(config.message()).c_str());
    return kExitUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? tandem::cli::kExitOk : kExitUsage;
  }
  if (!result.status.ok()) {
    std::fprintf(stderr, "tandem: %s\n", std::string(result.status.message()).c_str());
    return tandem::cli::kExitFailed;
  }
  return tandem::cli::kExitOk;
}
