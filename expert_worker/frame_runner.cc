#include "expert_worker/frame_runner.h"

#include <algorithm>
#include <bit>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "compute/wire_rows.h"

namespace tandem::expert_worker {

using transport::CombineFrame;
using transport::DispatchFrame;
using transport::ExpertPair;
using transport::FrameBuffer;

// The frames that are computed together, and how.
struct FrameRunner::Batch {
  // A frame's place among the rows and pairs of all.
  struct Member {
    const DispatchFrame* frame = nullptr;
    size_t result = 0;
    int64_t first_row = 0;
    int64_t first_pair = 0;
    int64_t num_experts = 0;  // distinct ones
  };

  void Add(const DispatchFrame& frame, size_t result) {
    members.push_back({&frame, result, num_rows, num_pairs});
    hidden_size = frame.hidden_size;  // the same for all, see Check
    num_rows += frame.num_rows;
    num_pairs += static_cast<int64_t>(frame.pairs.size());
  }

  void GroupByExpert();

  int64_t hidden_size = 0;
  std::vector<Member> members;
  absl::flat_hash_map<int32_t, compute::MlpWeightsPtr> weights;  // by expert; kept alive until the work is done
  int64_t num_rows = 0;
  int64_t num_pairs = 0;
  std::vector<int32_t> experts;  // of the segments
  std::vector<compute::ExpertSegment> segments;
  std::vector<int32_t> pair_rows;  // by expert, then frame
  std::vector<int32_t> slots;      // where each pair belongs by frame
};

void FrameRunner::Batch::GroupByExpert() {
  struct Run {  // one frame's consecutive pairs with the same expert
    int32_t expert;
    const Member* member;
    size_t begin;
    size_t end;
  };
  std::vector<Run> runs;
  for (Member& member : members) {
    const std::vector<ExpertPair>& pairs = member.frame->pairs;
    for (size_t i = 0; i < pairs.size(); ++i) {
      if (i == 0 || pairs[i].expert != pairs[i - 1].expert) {
        runs.push_back({pairs[i].expert, &member, i, i});
        ++member.num_experts;
      }
      ++runs.back().end;
    }
  }
  std::stable_sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.expert < b.expert; });
  pair_rows.reserve(num_pairs);
  slots.reserve(num_pairs);
  for (const Run& run : runs) {
    if (experts.empty() || experts.back() != run.expert) {
      const auto begin = static_cast<int32_t>(pair_rows.size());
      experts.push_back(run.expert);
      segments.push_back({weights.at(run.expert).get(), begin, begin});
    }
    for (size_t i = run.begin; i < run.end; ++i) {
      pair_rows.push_back(static_cast<int32_t>(run.member->first_row + run.member->frame->pairs[i].row));
      slots.push_back(static_cast<int32_t>(run.member->first_pair + i));
    }
    segments.back().end = static_cast<int32_t>(pair_rows.size());
  }
}

absl::Status FrameRunner::Check(const DispatchFrame& frame, Batch& batch) const {
  if (frame.dtype != wire_dtype_) {
    return absl::InvalidArgumentError(absl::StrCat("layer ", frame.layer, ": frame has dtype ",
                                                   compute::DTypeName(frame.dtype), ", the model's wire dtype is ",
                                                   compute::DTypeName(wire_dtype_)));
  }
  for (size_t i = 0; i < frame.pairs.size(); ++i) {
    const int32_t expert = frame.pairs[i].expert;
    if (i > 0 && expert == frame.pairs[i - 1].expert) {
      continue;
    }
    compute::MlpWeightsPtr& weights = batch.weights[expert];
    if (weights == nullptr) {
      weights = store_.Find({frame.layer, expert});
    }
    if (weights == nullptr) {
      return absl::NotFoundError(absl::StrCat("layer ", frame.layer, ", expert ", expert, " is not held"));
    }
    if (weights->hidden_size() != frame.hidden_size) {
      return absl::InvalidArgumentError(absl::StrCat("layer ", frame.layer, ": frame has hidden_size ",
                                                     frame.hidden_size, ", the model has ", weights->hidden_size()));
    }
  }
  return absl::OkStatus();
}

absl::Status FrameRunner::Reserve(compute::Tensor& scratch, compute::DType dtype, int64_t rows, int64_t width) {
  if (scratch.defined() && scratch.dim(0) >= rows && scratch.dim(1) == width) {
    return absl::OkStatus();
  }
  scratch = {};
  const auto capacity = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows)));
  ASSIGN_OR_RETURN(scratch, backend_.Allocate(dtype, {capacity, width}));
  return absl::OkStatus();
}

absl::Status FrameRunner::Execute(const Batch& batch, std::vector<FrameBuffer>& outputs) {
  const int64_t row_elements = compute::DispatchRowElements(wire_dtype_, batch.hidden_size);
  const compute::DType combine_dtype = compute::CombineDType(wire_dtype_);
  RETURN_IF_ERROR(Reserve(rows_, wire_dtype_, batch.num_rows, row_elements));
  RETURN_IF_ERROR(Reserve(by_expert_, combine_dtype, batch.num_pairs, batch.hidden_size));
  for (const Batch::Member& member : batch.members) {
    if (member.frame->num_rows > 0) {
      backend_.Upload(member.frame->rows.bytes(), rows_.Rows(member.first_row, member.frame->num_rows));
    }
  }
  compute::Tensor results = by_expert_.Rows(0, batch.num_pairs);
  backend_.GroupedMlp(rows_.Rows(0, batch.num_rows), batch.pair_rows, batch.segments, results);
  if (batch.members.size() > 1) {  // one frame's pairs are in its own order already
    RETURN_IF_ERROR(Reserve(by_frame_, combine_dtype, batch.num_pairs, batch.hidden_size));
    const compute::Tensor ordered = by_frame_.Rows(0, batch.num_pairs);
    backend_.ScatterRows(results, batch.slots, ordered);
    results = ordered;
  }
  for (const Batch::Member& member : batch.members) {
    FrameBuffer& buffer = outputs.emplace_back(transport::AllocateOutputs(*member.frame));
    if (buffer.size() > 0) {
      backend_.Download(results.Rows(member.first_pair, static_cast<int64_t>(member.frame->pairs.size())),
                        buffer.mutable_bytes());
    }
  }
  return backend_.Record()->Wait();
}

std::vector<absl::StatusOr<CombineFrame>> FrameRunner::Run(absl::Span<const DispatchFrame* const> frames) {
  const absl::Time start = absl::Now();
  std::vector<absl::StatusOr<CombineFrame>> results(frames.size(), CombineFrame{});
  if (frames.empty()) {
    return results;
  }
  Batch batch;
  for (size_t i = 0; i < frames.size(); ++i) {
    if (const absl::Status checked = Check(*frames[i], batch); !checked.ok()) {
      results[i] = checked;
    } else if (!frames[i]->pairs.empty()) {
      batch.Add(*frames[i], i);
    }
  }
  if (batch.members.empty()) {
    return results;
  }
  batch.GroupByExpert();
  std::vector<FrameBuffer> outputs;
  const absl::Status executed = Execute(batch, outputs);
  const absl::Duration elapsed = absl::Now() - start;
  for (size_t i = 0; i < batch.members.size(); ++i) {
    absl::StatusOr<CombineFrame>& result = results[batch.members[i].result];
    if (executed.ok()) {
      result->outputs = std::move(outputs[i]);
      result->compute_time = elapsed;
    } else {
      result = executed;
    }
  }
  Count(batch, elapsed);
  return results;
}

void FrameRunner::Count(const Batch& batch, absl::Duration elapsed) {
  const int32_t layer = batch.members[0].frame->layer;
  probe_.Computed(static_cast<int64_t>(batch.members.size()), batch.num_rows, batch.num_pairs, elapsed);
  probe_.BatchOf(layer, static_cast<int64_t>(batch.experts.size()));
  for (const Batch::Member& member : batch.members) {
    probe_.FrameOf(layer, member.num_experts);
  }
  for (size_t i = 0; i < batch.segments.size(); ++i) {
    probe_.Routed({layer, batch.experts[i]}, batch.segments[i].end - batch.segments[i].begin);
  }
}

}  // namespace tandem::expert_worker
