#include "cli/machine_measurement.h"

#include <algorithm>
#include <limits>

#include "absl/functional/function_ref.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "compute/cpu/cpu_backend.h"

namespace tandem::cli {
namespace {

using compute::DType;
using compute::MatrixPtr;
using compute::Tensor;

// One matrix applied to some rows.
class LinearRun {
 public:
  static absl::StatusOr<LinearRun> Make(compute::Backend& backend, DType dtype, int64_t rows, int64_t cols,
                                        int64_t inputs) {
    LinearRun run(backend);
    ASSIGN_OR_RETURN(run.matrix_, backend.PackMatrix(dtype, 1, rows, cols, [](int64_t row, absl::Span<float> out) {
      for (size_t i = 0; i < out.size(); ++i) {
        out[i] = static_cast<float>((static_cast<size_t>(row) + i) % 7) / 8 - 0.375f;
      }
    }));
    ASSIGN_OR_RETURN(run.x_, backend.Allocate(DType::kF32, {inputs, cols}));
    ASSIGN_OR_RETURN(run.out_, backend.Allocate(DType::kF32, {inputs, rows}));
    const std::vector<float> ones(static_cast<size_t>(inputs * cols), 1.0f);
    backend.Upload(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(ones.data()), ones.size() * sizeof(float)),
                   run.x_);
    RETURN_IF_ERROR(backend.Record()->Wait());
    return run;
  }

  // Seconds of one application; the best of `rounds`.
  absl::StatusOr<double> Seconds(int rounds, int repeats) const {
    double best = std::numeric_limits<double>::infinity();
    for (int round = 0; round <= rounds; ++round) {  // the first one warms up
      const absl::Time begin = absl::Now();
      for (int i = 0; i < repeats; ++i) {
        backend_.Linear(x_, *matrix_, {}, out_);
      }
      RETURN_IF_ERROR(backend_.Record()->Wait());
      best = std::min(best, absl::ToDoubleSeconds(absl::Now() - begin) / repeats);
    }
    return best;
  }

 private:
  explicit LinearRun(compute::Backend& backend) : backend_(backend) {}

  compute::Backend& backend_;
  MatrixPtr matrix_;
  Tensor x_;
  Tensor out_;
};

}  // namespace

absl::StatusOr<MachineSpeed> MeasureMachine(int threads, int rounds) {
  const std::unique_ptr<compute::Backend> backend = compute::cpu::CreateCpuBackend({.num_threads = threads});
  const auto seconds = [&](DType dtype, int64_t rows, int64_t cols, int64_t inputs,
                           int repeats) -> absl::StatusOr<double> {
    ASSIGN_OR_RETURN(const LinearRun run, LinearRun::Make(*backend, dtype, rows, cols, inputs));
    return run.Seconds(rounds, repeats);
  };
  constexpr int64_t kRows = 32768, kCols = 4096;  // 256 MiB in bf16
  constexpr int64_t kSide = 1024, kInputs = 512;
  MachineSpeed speed = {.threads = threads};
  ASSIGN_OR_RETURN(const double reading, seconds(DType::kBF16, kRows, kCols, 1, 1));
  ASSIGN_OR_RETURN(const double bf16, seconds(DType::kBF16, kSide, kSide, kInputs, 2));
  ASSIGN_OR_RETURN(const double f32, seconds(DType::kF32, kSide, kSide, kInputs, 2));
  ASSIGN_OR_RETURN(speed.call, seconds(DType::kF32, 32, 32, 1, 1000));
  speed.memory_bandwidth = 2.0 * kRows * kCols / reading;
  speed.operations_bf16 = 2.0 * kSide * kSide * kInputs / bf16;
  speed.operations_f32 = 2.0 * kSide * kSide * kInputs / f32;
  return speed;
}

}  // namespace tandem::cli
