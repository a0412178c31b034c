#include "cli/stage_runtime.h"

#include "base/status.h"
#include "router/stage_share.h"

namespace tandem::cli {

absl::StatusOr<std::unique_ptr<StageRuntime>> StageRuntime::Start(std::shared_ptr<const OpenedModel> opened,
                                                                  const EngineFlags& flags, int threads,
                                                                  const std::vector<std::string>& workers,
                                                                  absl::Duration worker_timeout, const StagePlan& plan,
                                                                  const std::string& listen,
                                                                  const StartProgress& progress) {
  std::unique_ptr<StageRuntime> runtime(new StageRuntime());
  ASSIGN_OR_RETURN(runtime->router_,
                   RouterRuntime::Load(opened, flags, threads, workers, worker_timeout, plan, progress));
  RouterRuntime& router = *runtime->router_;
  router::PipelineStageOptions options = {.layout = plan.layout};
  options.next_stage = plan.next_stage;
  options.runner = {.max_batch_tokens = flags.max_batch_tokens,
                    .num_kv_blocks = router.ChooseKvBlocks(flags),
                    .dispatch_timeout = absl::Seconds(flags.dispatch_timeout_seconds),
                    .awake_cpus = router.awake_cpus()};
  options.terms = router::TermsOf(plan.layout, plan.stage, opened->identity, opened->dtypes,
                                  options.runner.kv_block_size, flags.max_batch_tokens, router.max_model_len());
  ASSIGN_OR_RETURN(runtime->stage_,
                   router::PipelineStage::Create(router.decoder(), router.workers(), std::move(options)));
  ASSIGN_OR_RETURN(runtime->server_, transport::StartStageServer(listen, runtime->stage_.get()));
  return runtime;
}

}  // namespace tandem::cli
