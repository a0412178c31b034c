// The order in which a router takes the micro-batches of one step through the layers (DESIGN.md section 5).
//
// A layer of a micro-batch is: router half (attention, gate, dispatch) → wire → experts → wire → combine. While one
// micro-batch is away, the router works on another. Pure state machine: the engine drives it with real events, the
// simulator with computed ones; both see the same order for the same events.
//
// With pipeline stages (scheduler/stage_layout.h) every stage runs a Pipeline of its own over its layers.
#pragma once

#include <cstdint>
#include <vector>

#include "base/layer_range.h"

namespace tandem::scheduler {

struct PipelineShape {
  std::vector<bool> experts;    // of each layer: true where it has experts that are dispatched
  bool shared_experts = false;  // layers with experts have shared ones, which the router computes meanwhile
};

// A micro-batch's way through one stage.
struct PipelinePath {
  LayerRange layers;     // that this stage computes of it
  bool follows = false;  // it goes on with the sequence that the one before, of the same layers, ends with
  bool enters = false;   // it comes from another stage: OnArrived before its first layer
  bool leaves = false;   // it goes on to another stage
};

struct PipelineTask {
  enum class Kind : uint8_t {
    kAdvance,       // combine what came back for the layer before, if it was dispatched; then this layer's router half
    kSharedExpert,  // of the layer that is away
    kWait,          // nothing can be done before an arrival
    kDone,          // every micro-batch has left the last layer
  };
  Kind kind = Kind::kDone;
  int32_t micro_batch = 0;
  int32_t layer = 0;  // kAdvance: the end of its layers stands for the combine after the last one
  bool operator==(const PipelineTask&) const = default;
};

class Pipeline {
 public:
  // `follows[i]`: micro-batch i goes on with the sequence that i - 1 ends with, so in every layer i - 1 goes first. One
  // element for each micro-batch. `shape` must outlive the pipeline.
  Pipeline(const PipelineShape& shape, const std::vector<bool>& follows);
  // One stage of several. At most `window` micro-batches are inside their layers at a time; 0: any number.
  Pipeline(const PipelineShape& shape, std::vector<PipelinePath> paths, int window);

  // What the router should do now. The same until an event is reported. Prefers, in this order:
  //   a router half, of the micro-batch that is furthest behind: it feeds the workers, and nobody is left over to the
  //   end, with nothing to hide its way to the experts; but of those that go on to another stage, the one that is furthest
  //   ahead, so that the other stage has something to do early; and of several ranges of layers the earlier one, which
  //   has the longest way to go;
  //   while no other is away, one that needs no shared expert first: the workers idle, so the shortest way to a dispatch;
  //   the shared expert of the micro-batch that went away first.
  PipelineTask Next() const;

  // The task that Next named was carried out.
  void OnDone(const PipelineTask& task);
  // All experts of the micro-batch's layer have answered, or it has come from the stage before.
  void OnArrived(int32_t micro_batch);

  // True while the shared expert of the layer that is (or was) away has not been computed; kAdvance has to begin with it.
  bool OwesSharedExpert(int32_t micro_batch) const { return states_[micro_batch].owes_shared; }

  int32_t num_micro_batches() const { return static_cast<int32_t>(states_.size()); }

 private:
  struct State {
    int32_t next_layer = 0;  // whose router half is next
    bool entering = false;   // not here yet
    bool away = false;
    bool owes_shared = false;
    bool finished = false;
    uint64_t sent = 0;  // when, in dispatches
  };

  bool CanAdvance(int32_t micro_batch) const;
  bool Before(int32_t a, int32_t b) const;

  const PipelineShape& shape_;
  const std::vector<PipelinePath> paths_;
  const int window_;
  std::vector<State> states_;
  int32_t away_ = 0;
  int32_t inside_ = 0;  // began their layers and did not finish
  int32_t unfinished_ = 0;
  uint64_t dispatches_ = 0;
};

}  // namespace tandem::scheduler
