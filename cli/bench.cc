// tandem bench: the group of measuring subcommands.
#include "cli/bench_accounting.h"
#include "cli/bench_hardware.h"
#include "cli/bench_layouts.h"
#include "cli/bench_offline.h"
#include "cli/bench_overlap.h"
#include "cli/bench_serve.h"
#include "cli/bench_stages.h"
#include "cli/bench_timeline.h"
#include "cli/command.h"

namespace tandem::cli {

void AddBench(CLI::App& app, CommandResult& result) {
  CLI::App* bench = app.add_subcommand("bench", "Measure");
  bench->require_subcommand(1);
  AddBenchAccounting(*bench, result);
  AddBenchHardware(*bench, result);
  AddBenchLayouts(*bench, result);
  AddBenchOffline(*bench, result);
  AddBenchOverlap(*bench, result);
  AddBenchServe(*bench, result);
  AddBenchStages(*bench, result);
  AddBenchTimeline(*bench, result);
}

}  // namespace tandem::cli
