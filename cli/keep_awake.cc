#include "cli/keep_awake.h"

#include "base/cpu_affinity.h"
#include "base/log.h"

namespace tandem::cli {

void AddKeepAwakeFlag(CLI::App& app, std::string& value) {
  app.add_option("--keep-awake", value,
                 "Spin at the lowest priority instead of halting CPUs while requests are computed, which spares wake-ups of tens "
                 "of microseconds; auto: unless CPU time is limited or --threads leaves CPUs to others")
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
