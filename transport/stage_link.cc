#include "transport/stage_link.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace tandem::transport {
namespace {

absl::Status CheckEqual(absl::string_view field, absl::string_view wanted, absl::string_view own) {
  return wanted == own ? absl::OkStatus()
                       : absl::FailedPreconditionError(
                             absl::StrCat(field, " differs: the router before has ", wanted, ", this stage has ", own,
                                          "; start all stages with the same model and options"));
}

absl::Status CheckAtMost(absl::string_view field, int64_t wanted, int64_t own) {
  return wanted <= own ? absl::OkStatus()
                       : absl::FailedPreconditionError(absl::StrCat(field, ": the router before has ", wanted,
                                                                    ", this stage allows only ", own,
                                                                    "; start it with the same ", field));
}

std::string Describe(const std::vector<LayerRange>& layers) {
  return absl::StrJoin(layers, " and ", [](std::string* out, const LayerRange& range) {
    absl::StrAppend(out, range.begin, "-", range.end - 1);
  });
}

}  // namespace

absl::Status CheckTerms(const StageTerms& wanted, const StageTerms& stage) {
  const auto equal = [](absl::string_view field, const auto& a, const auto& b) {
    return CheckEqual(field, absl::StrCat(a), absl::StrCat(b));
  };
  RETURN_IF_ERROR(equal("architecture", wanted.model.architecture, stage.model.architecture));
  RETURN_IF_ERROR(equal("checkpoint_digest", wanted.model.checkpoint_digest, stage.model.checkpoint_digest));
  RETURN_IF_ERROR(equal("weight_dtype", compute::DTypeName(wanted.model.weight_dtype),
                        compute::DTypeName(stage.model.weight_dtype)));
  RETURN_IF_ERROR(
      equal("wire_dtype", compute::DTypeName(wanted.model.wire_dtype), compute::DTypeName(stage.model.wire_dtype)));
  RETURN_IF_ERROR(
      equal("kv_cache_dtype", compute::DTypeName(wanted.kv_cache_dtype), compute::DTypeName(stage.kv_cache_dtype)));
  RETURN_IF_ERROR(equal("num_stages", wanted.num_stages, stage.num_stages));
  RETURN_IF_ERROR(equal("stage", wanted.stage, stage.stage));
  RETURN_IF_ERROR(
      equal("stage policy", wanted.dualpipe ? "dualpipe" : "one-way", stage.dualpipe ? "dualpipe" : "one-way"));
  RETURN_IF_ERROR(equal("layers", Describe(wanted.layers), Describe(stage.layers)));
  RETURN_IF_ERROR(equal("kv_block_size", wanted.kv_block_size, stage.kv_block_size));
  RETURN_IF_ERROR(CheckAtMost("max-batch-tokens", wanted.max_batch_tokens, stage.max_batch_tokens));
  return CheckAtMost("max-model-len", wanted.max_model_len, stage.max_model_len);
}

}  // namespace tandem::transport
