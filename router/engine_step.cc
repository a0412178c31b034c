// One step: plan, forward pass, and what becomes of its rows.
#include <algorithm>

#include "base/log.h"
#include "base/status.h"
#include "router/engine.h"
#include "router/logprobs.h"

namespace tandem::router {

using scheduler::StepItem;

constexpr double kRecentDecay = 0.99;  // of EngineStats::recent, each step

// A planned step in the words of the model runner.
struct Engine::Step {
  // Rows whose logits or hidden state is wanted, and where in which sequence they are.
  struct Wanted {
    std::vector<RowRef> rows;
    std::vector<std::pair<Sequence*, int64_t>> positions;

    void Add(RowRef row, Sequence* sequence, int64_t position) {
      rows.push_back(row);
      positions.emplace_back(sequence, position);
    }
  };

  StepInput input;
  int cut = 1;  // micro-batches that it was to be cut into
  int64_t tokens = 0;
  int64_t prompt_tokens = 0;                            // of them in chunks of prompts
  std::vector<std::pair<Sequence*, int64_t>> computed;  // tokens of each sequence
  Wanted logits;
  Wanted hidden;
};

void Engine::RunStep() {
  const absl::Time begin = absl::Now();
  const std::vector<StepItem> plan = Plan();
  if (plan.empty()) {
    return;
  }
  trace::StepScope traced(&recorder_, track_);
  Step step = Prepare(plan);
  const absl::Duration planning = absl::Now() - begin;
  traced.span().AddArg({"tokens", step.tokens});
  traced.span().AddArg({"prompt_tokens", step.prompt_tokens});
  traced.span().AddArg({"micro_batches", static_cast<int64_t>(step.input.micro_batches.size())});
  const absl::Status status = Execute(step);
  if (!status.ok()) {
    spdlog::warn("a step with {} sequences failed: {}", step.computed.size(), status.ToString());
    for (const auto& [sequence, tokens] : step.computed) {
      Finish(*sequence, {.finish_reason = FinishReason::kError, .error = status});
    }
  }
  for (SequencePtr& sequence : std::exchange(forked_, {})) {
    Join(std::move(sequence));
  }
  while (static_cast<int>(running_.size()) > options_.max_sequences) {
    Preempt(running_.size() - 1);
  }
  Account(step, planning);
}

void Engine::Account(const Step& step, absl::Duration planning) {
  const scheduler::StepReport& report = runner_.report();
  absl::MutexLock lock(&mutex_);
  ++stats_.steps;
  stats_.step_tokens += static_cast<uint64_t>(step.tokens);
  stats_.micro_batches += static_cast<uint64_t>(report.micro_batches);
  stats_.router_seconds += absl::ToDoubleSeconds(report.router);
  stats_.shared_seconds += absl::ToDoubleSeconds(report.shared);
  stats_.expert_wait_seconds += absl::ToDoubleSeconds(report.waits.expert);
  stats_.wire_wait_seconds += absl::ToDoubleSeconds(report.waits.wire);
  stats_.bubble_seconds += absl::ToDoubleSeconds(report.waits.bubble);
  stats_.stage_wait_seconds += absl::ToDoubleSeconds(report.stage_wait);
  stats_.logits_seconds = absl::ToDoubleSeconds(runner_.projecting());
  stats_.sample_seconds = absl::ToDoubleSeconds(runner_.visiting());
  stats_.plan_seconds += absl::ToDoubleSeconds(planning);
  stats_.forward_seconds += absl::ToDoubleSeconds(report.total());
  stats_.ideal_seconds += absl::ToDoubleSeconds(report.ideal);
  stats_.exposed_seconds += absl::ToDoubleSeconds(report.exposed);
  stats_.expert_seconds += absl::ToDoubleSeconds(report.expert) * report.distinct;
  stats_.wire_seconds += absl::ToDoubleSeconds(report.wire);
  if (const size_t cut = report.layers.size(); 0 < cut && cut <= stats_.cuts.size()) {
    EngineStats::OfCut& of_cut = stats_.cuts[cut - 1];
    ++of_cut.steps;
    for (size_t i = 0; i < cut; ++i) {
      scheduler::LayerCost cost = report.layers[i].second;
      cost.expert *= report.distinct;
      of_cut.layer_costs[i] += cost;
    }
  }
  const auto add = [](double& recent, absl::Duration duration) {
    recent = kRecentDecay * recent + absl::ToDoubleSeconds(duration);
  };
  add(stats_.recent.forward_seconds, report.total());
  add(stats_.recent.ideal_seconds, report.ideal);
  add(stats_.recent.bubble_seconds, report.waits.bubble);
  add(stats_.recent.exposed_seconds, report.exposed);
  add(stats_.recent.wire_seconds, report.wire);
}

std::vector<StepItem> Engine::Plan() {
  while (true) {
    scheduler::StepPlan plan = scheduler::PlanStep(RunningViews(), Limits());
    if (!plan.preempt.has_value()) {
      return std::move(plan.items);
    }
    Preempt(static_cast<size_t>(*plan.preempt));
  }
}

Engine::Step Engine::Prepare(const std::vector<StepItem>& plan) {
  const trace::Scope scope(&recorder_, track_, "plan", "", {});
  Step step;
  step.input.step = ++step_number_;
  std::vector<int64_t> position(running_.size(), 0);  // of each sequence: the first one that is not placed yet
  for (const StepItem& item : plan) {
    Sequence& sequence = *running_[item.sequence];
    if (blocks_.NeedsCopy(sequence.table, sequence.cached)) {
      const auto copy = blocks_.Replace(sequence.table, sequence.cached);
      TANDEM_CHECK(copy.has_value(), "the plan has more copies than blocks");
      step.input.copies.push_back({.from = copy->first, .to = copy->second});
    }
    TANDEM_CHECK(blocks_.Grow(sequence.table, sequence.cached + item.num_tokens),
                 "the plan has more tokens than blocks");
    step.computed.emplace_back(&sequence, item.num_tokens);
    step.tokens += item.num_tokens;
    step.prompt_tokens += sequence.decoding() ? 0 : item.num_tokens;
    position[item.sequence] = sequence.cached;
  }
  step.cut = ChooseMicroBatches(step);
  for (const scheduler::MicroBatch& micro_batch : Cut(plan, step.cut)) {
    const auto index = static_cast<int32_t>(step.input.micro_batches.size());
    MicroBatchInput& input = step.input.micro_batches.emplace_back();
    input.direction = micro_batch.direction;
    input.follows = micro_batch.follows;
    for (const StepItem& item : micro_batch.items) {
      Sequence& sequence = *running_[item.sequence];
      const int64_t begin = std::exchange(position[item.sequence], position[item.sequence] + item.num_tokens);
      const auto first_row = static_cast<int32_t>(input.ids.size());
      input.sequences.push_back({.first_row = first_row,
                                 .num_rows = static_cast<int32_t>(item.num_tokens),
                                 .position = static_cast<int32_t>(begin),
                                 .block_table = sequence.table.blocks});
      input.ids.insert(input.ids.end(), sequence.tokens.begin() + begin,
                       sequence.tokens.begin() + begin + item.num_tokens);
      input.num_rows = static_cast<int32_t>(input.ids.size());
      for (int64_t i = 0; i < item.num_tokens; ++i) {
        AddWanted(sequence, begin + i, {index, first_row + static_cast<int32_t>(i)}, step);
      }
    }
  }
  return step;
}

void Engine::AddWanted(Sequence& sequence, int64_t position, RowRef row, Step& step) {
  const RequestState& request = *sequence.request;
  const bool last = position + 1 == static_cast<int64_t>(sequence.tokens.size());
  const bool of_prompt = position + 1 < request.prompt_tokens;
  if (request.request.pooling != Pooling::kNone) {
    if (last || request.request.pooling == Pooling::kMean) {
      step.hidden.Add(row, &sequence, position);
      step.input.micro_batches[row.micro_batch].wanted.push_back(row.row);
    }
  } else if (last || (of_prompt && request.request.sampling.prompt_logprobs.has_value())) {
    step.logits.Add(row, &sequence, position);
    step.input.micro_batches[row.micro_batch].wanted.push_back(row.row);
  }
}

// Cutting pays only where there is something to wait for.
int Engine::ChooseMicroBatches(const Step& step) {
  return step_micro_batches_ > 0 ? step_micro_batches_ : cutter_.Choose(step.tokens, step.prompt_tokens);
}

std::vector<scheduler::MicroBatch> Engine::Cut(const std::vector<StepItem>& plan, int count) const {
  std::vector<int> directions;
  for (const StepItem& item : plan) {
    directions.push_back(running_[item.sequence]->direction);
  }
  return scheduler::CutStep(plan, directions, runner_.place().layout.num_directions(), count);
}

void Engine::Learn(const Step& step) {
  const scheduler::StepReport& report = runner_.report();
  cutter_.Observe(step.tokens, step.prompt_tokens, step.cut, absl::ToDoubleSeconds(report.total()), report.layers);
}

absl::Status Engine::Execute(Step& step) {
  RETURN_IF_ERROR(runner_.Forward(step.input));
  if (step_micro_batches_ == 0) {
    Learn(step);
  }
  now_ = absl::Now();
  for (const auto& [sequence, tokens] : step.computed) {
    sequence->cached += tokens;
    blocks_.Publish(sequence->table, sequence->tokens, sequence->cached, CacheSalt(*sequence));
    queue_.Charge(sequence->request->request.user, tokens);
  }
  RETURN_IF_ERROR(runner_.VisitHidden(step.hidden.rows, [&](int64_t i, absl::Span<float> row) {
    OnHidden(*step.hidden.positions[i].first, step.hidden.positions[i].second, row);
  }));
  const absl::Status sampled = runner_.VisitLogits(step.logits.rows, [&](int64_t i, absl::Span<float> row) {
    OnLogits(*step.logits.positions[i].first, step.logits.positions[i].second, row);
  });
  masks_.Start();
  return sampled;
}

void Engine::OnLogits(Sequence& sequence, int64_t position, absl::Span<float> row) {
  RequestState& request = *sequence.request;
  const SamplingParams& sampling = request.request.sampling;
  if (sampling.prompt_logprobs.has_value() && position + 1 < request.prompt_tokens) {
    // A preempted prompt comes by here again.
    if (position == static_cast<int64_t>(request.prompt_logprobs.size())) {
      request.prompt_logprobs.push_back(LogprobsOf(row, sequence.tokens[position + 1], *sampling.prompt_logprobs));
    }
    return;
  }
  if (!sequence.finished) {
    SampleAnswers(sequence, row);
  }
}

void Engine::SampleAnswers(Sequence& sequence, absl::Span<float> row) {
  const RequestState& request = *sequence.request;
  if (step_observer_) {
    const int32_t answers = sequence.forked ? 1 : request.request.sampling.n;
    for (int32_t i = 0; i < answers; ++i) {
      step_observer_(request.id, sequence.choice + i, static_cast<int64_t>(sequence.tokens.size()), row);
    }
  }
  const auto fail = [&](const absl::Status& error) {
    Finish(sequence, {.finish_reason = FinishReason::kError, .error = error});
  };
  if (const absl::Status status = chooser_.Prepare(sequence, row); !status.ok()) {
    return fail(status);
  }
  if (!sequence.forked) {
    std::vector<TokenChooser::Choice> chosen(request.request.sampling.n);
    for (int32_t choice = 0; choice < request.request.sampling.n; ++choice) {
      absl::StatusOr<TokenChooser::Choice> drawn = chooser_.Draw(sequence, choice);
      if (!drawn.ok()) {
        return fail(drawn.status());
      }
      chosen[choice] = *std::move(drawn);
    }
    sequence.forked = true;
    for (int32_t choice = 1; choice < request.request.sampling.n; ++choice) {
      Fork(sequence, choice, std::move(chosen[choice]));
    }
    return Append(sequence, std::move(chosen[0]));
  }
  absl::StatusOr<TokenChooser::Choice> drawn = chooser_.Draw(sequence, sequence.choice);
  if (!drawn.ok()) {
    return fail(drawn.status());
  }
  Append(sequence, *std::move(drawn));
}

// The parent has its prompt in the cache and no token of its own yet.
void Engine::Fork(const Sequence& parent, int32_t choice, TokenChooser::Choice chosen) {
  auto child = std::make_unique<Sequence>();
  child->request = parent.request;
  child->choice = choice;
  child->forked = true;
  child->tokens = parent.tokens;
  child->cached = parent.cached;
  child->direction = parent.direction;
  child->table = blocks_.Share(parent.table);
  child->rules = std::make_unique<LogitsRules>(*parent.rules);
  if (parent.constraint != nullptr) {
    child->constraint =
        std::make_shared<MaskedConstraint>(parent.request->request.constraint->Clone(), decoder_.spec().vocab_size);
  }
  Append(*child, std::move(chosen));
  forked_.push_back(std::move(child));
}

void Engine::Append(Sequence& sequence, TokenChooser::Choice chosen) {
  RequestState& request = *sequence.request;
  if (request.cancelled_choices.contains(sequence.choice)) {
    return Finish(sequence, {.finish_reason = FinishReason::kCancelled});
  }
  sequence.tokens.push_back(chosen.token);
  sequence.rules->Count(chosen.token);
  TokenEvent event;
  event.choice = sequence.choice;
  event.token = chosen.token;
  event.logprobs = std::move(chosen.logprobs);
  if (IsStop(sequence, chosen.token)) {
    event.finish_reason = FinishReason::kStop;
  } else if (sequence.generated() >= request.max_tokens) {
    event.finish_reason = FinishReason::kLength;
  }
  if (event.finish_reason != FinishReason::kNone) {
    return Finish(sequence, std::move(event));
  }
  if (sequence.constraint != nullptr) {
    masks_.Schedule(sequence.constraint, chosen.token);
  }
  Emit(sequence, std::move(event));
}

bool Engine::IsStop(const Sequence& sequence, int32_t token) const {
  const SamplingParams& sampling = sequence.request->request.sampling;
  const auto contains = [token](const std::vector<int32_t>& ids) {
    return std::find(ids.begin(), ids.end(), token) != ids.end();
  };
  return contains(sampling.stop_token_ids) || (!sampling.ignore_eos && contains(options_.eos_token_ids));
}

// Rows come in the order of their positions, so the sum does not depend on chunks.
void Engine::OnHidden(Sequence& sequence, int64_t position, absl::Span<const float> row) {
  RequestState& request = *sequence.request;
  if (request.request.pooling == Pooling::kMean && position != request.pooled_tokens) {
    return;  // a preempted prompt comes by here again
  }
  request.pooled.resize(row.size());
  for (size_t i = 0; i < row.size(); ++i) {
    request.pooled[i] += row[i];
  }
  ++request.pooled_tokens;
  if (sequence.pending() > 0) {
    return;
  }
  if (request.request.pooling == Pooling::kLast || request.pooled_tokens == request.prompt_tokens) {
    FinishPooling(sequence);
  }
}

void Engine::FinishPooling(Sequence& sequence) {
  RequestState& request = *sequence.request;
  std::vector<float> embedding(request.pooled.size());
  for (size_t i = 0; i < embedding.size(); ++i) {
    embedding[i] = static_cast<float>(request.pooled[i] / static_cast<double>(request.pooled_tokens));
  }
  TokenEvent event;
  event.finish_reason = FinishReason::kStop;
  event.embedding = std::make_shared<const std::vector<float>>(std::move(embedding));
  Finish(sequence, std::move(event));
}

}  // namespace tandem::router
