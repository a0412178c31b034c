#include "cli/cpu_flags.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "base/cpu_affinity.h"
#include "base/log.h"
#include "base/status.h"

namespace tandem::cli {

namespace {

std::vector<int> CpusOf(const std::string& list) {
  return list.empty() ? std::vector<int>() : ParseCpuList(list).value_or(std::vector<int>());
}

}  // namespace

CLI::Option* AddCpusFlag(CLI::App& app, const char* name, std::string& value, const char* help) {
  return app.add_option(name, value, help)->check([](const std::string& text) {
    return std::string(ParseCpuList(text).status().message());
  });
}

absl::Status RunOnCpus(const std::string& cpus) {
  if (cpus.empty()) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::vector<int> list, ParseCpuList(cpus));
  return RestrictToCpus(list);
}

std::string CpusOfWorker(const std::string& cpus, int worker, int workers) {
  const std::vector<int> all = CpusOf(cpus);
  const auto share = static_cast<int>(all.size()) / workers;
  return share == 0 ? cpus : absl::StrJoin(all.begin() + worker * share, all.begin() + (worker + 1) * share, ",");
}

bool DisjointCpus(const std::string& a, const std::string& b) {
  const std::vector<int> mine = CpusOf(a);
  const std::vector<int> others = CpusOf(b);
  return !mine.empty() && !others.empty() &&
         std::find_first_of(mine.begin(), mine.end(), others.begin(), others.end()) == mine.end();
}

void AddKeepAwakeFlag(CLI::App& app, std::string& value) {
  app.add_option("--keep-awake", value,
                 "Spin at the lowest priority instead of halting CPUs while requests are computed, which spares "
                 "wake-ups of tens of microseconds; auto: unless CPU time is limited or --threads leaves CPUs to others")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->capture_default_str();
}

bool KeepsAwake(const std::string& value, int threads) {
  if (value != "auto") {
    return value == "on";
  }
  return (threads == 0 || threads >= static_cast<int>(AvailableCpus().size())) && !HasCpuQuota();
}

std::unique_ptr<AwakeCpus> MakeAwakeCpus(const std::string& value, int threads) {
  if (!KeepsAwake(value, threads)) {
    return nullptr;
  }
  const std::vector<int> cpus = AvailableCpus();
  spdlog::info("{} CPUs are kept from halting while there is work (--keep-awake off lets them)", cpus.size());
  return std::make_unique<AwakeCpus>(cpus);
}

}  // namespace tandem::cli
