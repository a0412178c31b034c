#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/metrics.h"

namespace tandem::metrics {
namespace {

double CountEntries(const char* path) {
  DIR* directory = opendir(path);
  if (directory == nullptr) {
    return 0;
  }
  double count = 0;
  while (const dirent* entry = readdir(directory)) {
    count += entry->d_name[0] != '.';
  }
  closedir(directory);
  return count;
}

double CpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  double total_pages = 0;
  double resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// Boot time plus the start time of the process in clock ticks: field 22 of /proc/self/stat, the 20th after the name in
// parentheses.
double StartTimeSeconds() {
  std::string line;
  double boot = 0;
  for (std::ifstream stat("/proc/stat"); std::getline(stat, line);) {
    if (line.rfind("btime ", 0) == 0) {
      (void)absl::SimpleAtod(line.substr(6), &boot);
    }
  }
  std::ifstream stat("/proc/self/stat");
  std::getline(stat, line);
  const std::vector<std::string> fields = absl::StrSplit(line.substr(line.rfind(')') + 1), ' ', absl::SkipEmpty());
  double ticks = 0;
  if (fields.size() > 19) {
    (void)absl::SimpleAtod(fields[19], &ticks);
  }
  return boot + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

class ProcessMetrics final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    using Type = prometheus::MetricType;
    return {
        Family("process_cpu_seconds_total", "User and system CPU time of this process.", Type::Counter, CpuSeconds()),
        Family("process_resident_memory_bytes", "Resident memory of this process.", Type::Gauge, ResidentBytes()),
        Family("process_open_fds", "Open file descriptors.", Type::Gauge, CountEntries("/proc/self/fd")),
        Family("process_threads", "Threads of this process.", Type::Gauge, CountEntries("/proc/self/task")),
        Family("process_start_time_seconds", "Start of this process, Unix time.", Type::Gauge, start_time_)};
  }

 private:
  static prometheus::MetricFamily Family(const char* name, const char* help, prometheus::MetricType type,
                                         double value) {
    prometheus::ClientMetric metric;
    (type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    prometheus::MetricFamily family;
    family.name = name;
    family.help = help;
    family.type = type;
    family.metric.push_back(std::move(metric));
    return family;
  }

  const double start_time_ = StartTimeSeconds();
};

}  // namespace

std::shared_ptr<prometheus::Collectable> MakeProcessMetrics() { return std::make_shared<ProcessMetrics>(); }

}  // namespace tandem::metrics
