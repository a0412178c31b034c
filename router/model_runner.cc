#include "router/model_runner.h"

#include <algorithm>

#include "base/status.h"

namespace tandem::router {
namespace {

constexpr int kMaxRowGroup = 256;  // rows of logits in memory at a time

}  // namespace

using compute::DType;

ModelRunner::ModelRunner(const model::Decoder& decoder, WorkerPool& workers, ExpertCounters& counters,
                         ModelRunnerOptions options)
    : decoder_(decoder), options_(options), dispatcher_(decoder, workers, counters, options.dispatch_timeout) {}

absl::Status ModelRunner::Allocate() {
  compute::Backend& backend = decoder_.backend();
  const int64_t group = std::min(options_.max_sequences, kMaxRowGroup);
  ASSIGN_OR_RETURN(cache_, decoder_.AllocateKvCache(options_.num_kv_blocks, options_.kv_block_size));
  ASSIGN_OR_RETURN(activations_, decoder_.AllocateActivations(std::max(options_.max_batch_tokens, group)));
  ASSIGN_OR_RETURN(logits_, backend.Allocate(DType::kF32, {group, decoder_.spec().vocab_size}));
  ASSIGN_OR_RETURN(hidden_, backend.Allocate(DType::kF32, {group, decoder_.spec().hidden_size}));
  return absl::OkStatus();
}

absl::Status ModelRunner::Forward(const StepBatch& batch) {
  compute::Backend& backend = decoder_.backend();
  if (!batch.copies.empty()) {
    decoder_.CopyBlocks(cache_, batch.copies);
  }
  const std::unique_ptr<compute::BatchLayout> layout =
      backend.PrepareBatch(batch.sequences, options_.kv_block_size);
  decoder_.Embed(batch.ids, activations_);
  for (int layer = 0; layer < decoder_.spec().num_layers(); ++layer) {
    RETURN_IF_ERROR(RunLayer(layer, *layout));
  }
  return backend.Record()->Wait();
}

absl::Status ModelRunner::RunLayer(int layer, const compute::BatchLayout& batch) {
  decoder_.Attend(layer, batch, cache_, activations_);
  if (!decoder_.spec().layers[layer].experts) {
    decoder_.DenseMlp(layer, activations_);
    return absl::OkStatus();
  }
  decoder_.Route(layer, activations_);
  ASSIGN_OR_RETURN(ExpertFlight flight, dispatcher_.Start(layer, activations_));
  decoder_.SharedExpert(layer, activations_);
  RETURN_IF_ERROR(dispatcher_.Finish(std::move(flight), activations_));
  decoder_.Combine(layer, activations_);
  return absl::OkStatus();
}

absl::Status ModelRunner::VisitLogits(absl::Span<const int32_t> rows, RowVisitor visit) {
  return Visit(rows, logits_, /*logits=*/true, visit);
}

absl::Status ModelRunner::VisitHidden(absl::Span<const int32_t> rows, RowVisitor visit) {
  return Visit(rows, hidden_, /*logits=*/false, visit);
}

absl::Status ModelRunner::Visit(absl::Span<const int32_t> rows, const compute::Tensor& out, bool logits,
                                RowVisitor visit) {
  compute::Backend& backend = decoder_.backend();
  const int64_t width = out.dim(1);
  const int64_t total = static_cast<int64_t>(rows.size());
  for (int64_t begin = 0; begin < total; begin += out.dim(0)) {
    const int64_t count = std::min(out.dim(0), total - begin);
    const compute::Tensor group = out.Rows(0, count);
    if (logits) {
      decoder_.Logits(rows.subspan(begin, count), activations_, group);
    } else {
      decoder_.Hidden(rows.subspan(begin, count), activations_, group);
    }
    host_rows_.resize(std::max<size_t>(host_rows_.size(), count * width));
    const absl::Span<float> host = absl::MakeSpan(host_rows_).subspan(0, count * width);
    backend.Download(group, compute::WritableBytesOf(host));
    RETURN_IF_ERROR(backend.Record()->Wait());
    const absl::Time start = absl::Now();
    for (int64_t i = 0; i < count; ++i) {
      visit(begin + i, host.subspan(i * width, width));
    }
    visiting_ += absl::Now() - start;
  }
  return absl::OkStatus();
}

}  // namespace tandem::router
