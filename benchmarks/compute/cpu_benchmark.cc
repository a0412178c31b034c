// Kernels of the CPU backend against the machine's bounds. Run with --benchmark_enable_random_interleaving=true so that
// bounds and kernels are measured in one run, side by side.
//
// threads is the first argument of every benchmark. GB/s counts weight (or cache) bytes, GFLOP/s two per multiply-add.
#include <random>

#include "benchmark/benchmark.h"
#include "benchmarks/compute/roofline.h"
#include "compute/cpu/cpu_backend.h"
#include "compute/cpu/memory.h"

namespace tandem::benchmarks {
namespace {

using compute::Backend;
using compute::DType;
using compute::Tensor;

std::unique_ptr<Backend> MakeBackend(int64_t threads) {
  compute::cpu::CpuOptions options;
  options.num_threads = static_cast<int>(threads);
  return compute::cpu::CreateCpuBackend(options);
}

DType DTypeArg(int64_t bits) { return bits == 16 ? DType::kBF16 : DType::kF32; }

// 8 and 9: int8 and fp8.
DType KvDTypeArg(int64_t bits) { return bits == 8 ? DType::kI8 : bits == 9 ? DType::kF8E4M3 : DTypeArg(bits); }

Tensor Allocate(Backend& backend, DType dtype, compute::Shape shape) { return *backend.Allocate(dtype, shape); }

Tensor Random(Backend& backend, compute::Shape shape) {
  Tensor tensor = Allocate(backend, DType::kF32, shape);
  std::vector<float> values(static_cast<size_t>(shape.num_elements()));
  std::minstd_rand generator(1);
  for (float& value : values) {
    value = static_cast<float>(generator()) / 0x1p31f - 0.5f;
  }
  backend.Upload(compute::BytesOf(absl::MakeConstSpan(values)), tensor);
  return tensor;
}

// Cheap rows that differ.
compute::RowReader SomeWeights() {
  return [](int64_t row, absl::Span<float> out) {
    for (size_t k = 0; k < out.size(); ++k) {
      out[k] = static_cast<float>((static_cast<uint64_t>(row) * 31 + k * 7) % 255) / 255.0f - 0.5f;
    }
  };
}

void SetRates(benchmark::State& state, double bytes, double flops) {
  using benchmark::Counter;
  if (bytes > 0) {
    state.counters["GB/s"] = Counter(bytes / 1e9, Counter::kIsIterationInvariantRate);
  }
  if (flops > 0) {
    state.counters["GFLOP/s"] = Counter(flops / 1e9, Counter::kIsIterationInvariantRate);
  }
}

// --- bounds
// -----------------------------------------------------------------------------------------------------------

void BoundStreamRead(benchmark::State& state) {
  compute::cpu::ThreadPool pool({static_cast<int>(state.range(0)), {}, 50});
  auto block = compute::cpu::AlignedBlock::Create(static_cast<size_t>(state.range(1)) << 20);
  std::memset(block->data(), 1, block->size_bytes());
  for (auto _ : state) {
    benchmark::DoNotOptimize(StreamRead(pool, block->data(), block->size_bytes()));
  }
  SetRates(state, static_cast<double>(block->size_bytes()), 0);
}

void BoundMultiplyAdd(benchmark::State& state) {
  compute::cpu::ThreadPool pool({static_cast<int>(state.range(0)), {}, 50});
  double operations = 0;
  for (auto _ : state) {
    operations = FusedMultiplyAdds(pool, 1 << 20);
  }
  SetRates(state, 0, operations);
}

// --- linear layers
// ----------------------------------------------------------------------------------------------------

void RunLinear(benchmark::State& state, int64_t outputs, int64_t inputs) {
  const std::unique_ptr<Backend> backend = MakeBackend(state.range(0));
  const DType dtype = DTypeArg(state.range(1));
  const int64_t rows = state.range(2);
  const auto w = *backend->PackMatrix(dtype, 1, outputs, inputs, SomeWeights());
  const Tensor x = Random(*backend, {rows, inputs});
  const Tensor out = Allocate(*backend, DType::kF32, {rows, outputs});
  backend->Linear(x, *w, Tensor(), out);  // working memory is touched once before
  for (auto _ : state) {
    backend->Linear(x, *w, Tensor(), out);
  }
  SetRates(state, static_cast<double>(w->size_bytes()), 2.0 * static_cast<double>(rows * outputs * inputs));
}

// 128 MiB in bf16, 256 MiB in f32: far beyond the last-level cache.
void Gemv(benchmark::State& state) { RunLinear(state, 32768, 2048); }

void Gemm(benchmark::State& state) { RunLinear(state, 4096, 2048); }

// 256 KiB in bf16: what the kernel does where no memory binds it.
void GemmInCache(benchmark::State& state) { RunLinear(state, 256, 512); }

// --- experts: OLMoE's shape
// -------------------------------------------------------------------------------------------

void GroupedMlp(benchmark::State& state) {
  constexpr int64_t kHidden = 2048, kIntermediate = 1024;
  constexpr int kExperts = 64, kTopK = 8;
  const std::unique_ptr<Backend> backend = MakeBackend(state.range(0));
  const int64_t rows = state.range(1);
  std::vector<compute::MlpWeightsPtr> experts;
  for (int e = 0; e < kExperts; ++e) {
    experts.push_back(
        *backend->PackMlp(DType::kBF16, kHidden, kIntermediate, SomeWeights(), SomeWeights(), SomeWeights()));
  }
  std::vector<std::vector<int32_t>> rows_of(kExperts);
  std::minstd_rand generator(7);
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<int> order(kExperts);
    for (int e = 0; e < kExperts; ++e) {
      order[static_cast<size_t>(e)] = e;
    }
    std::shuffle(order.begin(), order.end(), generator);
    for (size_t j = 0; j < kTopK; ++j) {
      rows_of[static_cast<size_t>(order[j])].push_back(static_cast<int32_t>(row));
    }
  }
  std::vector<int32_t> pair_rows;
  std::vector<compute::ExpertSegment> segments;
  double bytes = 0;
  for (size_t e = 0; e < kExperts; ++e) {
    if (rows_of[e].empty()) {
      continue;
    }
    const auto begin = static_cast<int32_t>(pair_rows.size());
    pair_rows.insert(pair_rows.end(), rows_of[e].begin(), rows_of[e].end());
    segments.push_back({experts[e].get(), begin, static_cast<int32_t>(pair_rows.size())});
    bytes += static_cast<double>(experts[e]->size_bytes());
  }
  const auto pairs = static_cast<int64_t>(pair_rows.size());
  const Tensor x = Allocate(*backend, DType::kBF16, {rows, kHidden});
  backend->ScatterRows(Random(*backend, {1, kHidden}), {{0}}, x);
  const Tensor out = Allocate(*backend, DType::kBF16, {pairs, kHidden});
  backend->GroupedMlp(x, pair_rows, segments, out);  // working memory is touched once before
  for (auto _ : state) {
    backend->GroupedMlp(x, pair_rows, segments, out);
  }
  SetRates(state, bytes, 2.0 * 3.0 * static_cast<double>(pairs * kHidden * kIntermediate));
}

// --- attention: OLMoE's 16 heads of 128, a grouped-query form, and DeepSeek-V2-Lite's latent
// ----------------------------------------------------------------------------------------------------------------------

constexpr int64_t kHeads = 16, kBlock = 32;

compute::SequenceRows LastRows(int64_t rows, int64_t context) {
  compute::SequenceRows sequence{0, static_cast<int32_t>(rows), static_cast<int32_t>(context - rows), {}};
  for (int32_t b = 0; b < context / kBlock; ++b) {
    sequence.block_table.push_back(b);
  }
  return sequence;
}

// Attention of the last rows of a context that is in the cache. GB/s counts the cache once.
void RunAttention(benchmark::State& state, Backend& backend, const compute::KvCacheLayer& cache,
                  const compute::KvRow& row, int64_t rows, int64_t context) {
  const compute::SequenceRows sequence = LastRows(rows, context);
  const auto batch = backend.PrepareBatch({&sequence, 1}, kBlock);
  const Tensor q = Random(backend, {rows, kHeads, row.key_dim});
  const Tensor out = Allocate(backend, DType::kF32, {rows, kHeads, row.value_dim});
  compute::AttentionArgs args;
  args.scale = 0.088f;
  args.value_dim = static_cast<int>(row.value_dim);
  backend.PagedAttention(args, q, *batch, cache, out);  // working memory is touched once before
  for (auto _ : state) {
    backend.PagedAttention(args, q, *batch, cache, out);
  }
  const double visible =
      static_cast<double>(rows) * (static_cast<double>(context) - (static_cast<double>(rows) - 1) / 2);
  SetRates(state, static_cast<double>(context * compute::KvRowBytes(row, cache.dtype())),
           2.0 * visible * static_cast<double>(kHeads * (row.key_dim + row.value_dim)));
}

void Attention(benchmark::State& state) {
  constexpr int64_t kDim = 128;
  const std::unique_ptr<Backend> backend = MakeBackend(state.range(0));
  const int64_t kv_heads = state.range(2), rows = state.range(3), context = state.range(4);
  const compute::KvRow row{kv_heads, kDim, kDim};
  const auto cache =
      *compute::AllocateKvCacheLayer(*backend, row, KvDTypeArg(state.range(1)), context / kBlock, kBlock);
  const compute::SequenceRows all = LastRows(context, context);
  const auto batch = backend->PrepareBatch({&all, 1}, kBlock);
  compute::GqaArgs args;
  args.num_heads = kHeads;
  args.num_kv_heads = static_cast<int>(kv_heads);
  args.head_dim = kDim;
  backend->PrepareGqa(args, Random(*backend, {context, (kHeads + 2 * kv_heads) * kDim}), *batch, cache,
                      Allocate(*backend, DType::kF32, {context, kHeads, kDim}));
  RunAttention(state, *backend, cache, row, rows, context);
}

void LatentAttention(benchmark::State& state) {
  constexpr int64_t kLora = 512, kNope = 128, kRope = 64;
  const std::unique_ptr<Backend> backend = MakeBackend(state.range(0));
  const int64_t rows = state.range(2), context = state.range(3);
  const compute::KvRow row{1, kLora + kRope, kLora, /*latent=*/true};
  const auto cache =
      *compute::AllocateKvCacheLayer(*backend, row, KvDTypeArg(state.range(1)), context / kBlock, kBlock);
  const compute::SequenceRows all = LastRows(context, context);
  const auto batch = backend->PrepareBatch({&all, 1}, kBlock);
  compute::MlaArgs args;
  args.num_heads = kHeads;
  args.kv_lora_rank = kLora;
  args.qk_nope_head_dim = kNope;
  args.qk_rope_head_dim = kRope;
  args.kv_norm = Random(*backend, {kLora});
  args.norm_eps = 1e-6f;
  args.w_uk = *backend->PackMatrix(DType::kBF16, kHeads, kLora, kNope, SomeWeights());
  backend->PrepareMla(args, Random(*backend, {context, kHeads * (kNope + kRope)}),
                      Random(*backend, {context, kLora + kRope}), *batch, cache,
                      Allocate(*backend, DType::kF32, {context, kHeads, kLora + kRope}));
  RunAttention(state, *backend, cache, row, rows, context);
}

// Rates of one thread are by its CPU time, which other programs on the machine disturb least; those of several threads
// by the clock on the wall.
void Register(const char* name, void (*run)(benchmark::State&), std::vector<std::string> arg_names,
              std::vector<std::vector<int64_t>> args) {
  arg_names.insert(arg_names.begin(), "threads");
  for (int64_t threads : {1, 2}) {
    std::vector<std::vector<int64_t>> all = args;
    all.insert(all.begin(), {threads});
    benchmark::internal::Benchmark* benchmark =
        benchmark::RegisterBenchmark(name, run)->ArgNames(arg_names)->ArgsProduct(all);
    if (threads > 1) {
      benchmark->UseRealTime();
    }
  }
}

void RegisterAll() {
  Register("BoundStreamRead", BoundStreamRead, {"MiB"}, {{128, 256}});
  Register("BoundMultiplyAdd", BoundMultiplyAdd, {}, {});
  Register("Gemv", Gemv, {"bits", "rows"}, {{16, 32}, {1, 2, 4}});
  Register("Gemm", Gemm, {"bits", "rows"}, {{16, 32}, {12, 64, 512}});
  Register("GemmInCache", GemmInCache, {"bits", "rows"}, {{16, 32}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16}});
  Register("GroupedMlp", GroupedMlp, {"rows"}, {{1, 8, 32, 512}});
  Register("AttentionDecode", Attention, {"bits", "kv_heads", "rows", "context"},
           {{8, 9, 16, 32}, {4, 16}, {1}, {128, 4096, 32768}});
  Register("AttentionPrefill", Attention, {"bits", "kv_heads", "rows", "context"},
           {{8, 9, 16, 32}, {4, 16}, {256}, {1024}});
  Register("LatentDecode", LatentAttention, {"bits", "rows", "context"}, {{8, 9, 16, 32}, {1}, {128, 4096, 32768}});
  Register("LatentPrefill", LatentAttention, {"bits", "rows", "context"}, {{8, 9, 16, 32}, {256}, {1024}});
}

}  // namespace
}  // namespace tandem::benchmarks

int main(int argc, char** argv) {
  tandem::benchmarks::RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
