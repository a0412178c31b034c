#include "cli/opened_model.h"

#include <filesystem>

#include "base/status.h"

namespace tandem::cli {

absl::StatusOr<std::shared_ptr<const OpenedModel>> OpenModel(const std::string& dir, const std::string& dtype,
                                                             const std::string& kv_cache_dtype,
                                                             const std::string& wire_dtype) {
  auto opened = std::make_shared<OpenedModel>();
  opened->dir = dir;
  std::error_code ignored;
  const std::filesystem::path path = std::filesystem::weakly_canonical(dir, ignored);
  opened->name = path.filename().string();
  ASSIGN_OR_RETURN(opened->config, model::ReadModelConfig(dir));
  ASSIGN_OR_RETURN(opened->checkpoint, model::Checkpoint::Open(dir));
  const model::ModelSpec& spec = opened->config.spec;
  opened->checkpoint.set_fp8_block(spec.fp8_block_rows, spec.fp8_block_cols);
  RETURN_IF_ERROR(model::CheckNoUnknownTensors(spec, opened->checkpoint));
  ASSIGN_OR_RETURN(opened->dtypes, model::ChooseDTypes(dtype, kv_cache_dtype, spec, wire_dtype));
  opened->identity = {.checkpoint_digest = opened->checkpoint.Digest(opened->config.config_json),
                      .architecture = spec.model_type,
                      .weight_dtype = opened->dtypes.weights,
                      .wire_dtype = opened->dtypes.wire};
  return opened;
}

}  // namespace tandem::cli
