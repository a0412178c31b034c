#include "scheduler/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "scheduler/micro_batches.h"

namespace tandem::scheduler {
namespace {

using Kind = PipelineTask::Kind;

TEST(Pipeline, OneMicroBatchGoesBackAndForth) {
  const PipelineShape shape = {.experts = {false, true, true}, .shared_experts = true};
  Pipeline pipeline(shape, {false});
  std::vector<PipelineTask> done;
  while (pipeline.Next().kind != Kind::kDone) {
    const PipelineTask task = pipeline.Next();
    if (task.kind == Kind::kWait) {
      pipeline.OnArrived(0);
    } else {
      pipeline.OnDone(task);
    }
    done.push_back(task);
  }
  EXPECT_THAT(done, testing::ElementsAre(PipelineTask{Kind::kAdvance, 0, 0}, PipelineTask{Kind::kAdvance, 0, 1},
                                         PipelineTask{Kind::kSharedExpert, 0, 1}, PipelineTask{Kind::kWait, 0, 0},
                                         PipelineTask{Kind::kAdvance, 0, 2}, PipelineTask{Kind::kSharedExpert, 0, 2},
                                         PipelineTask{Kind::kWait, 0, 0}, PipelineTask{Kind::kAdvance, 0, 3}));
}

TEST(Pipeline, WorksOnAnotherWhileOneIsAway) {
  const PipelineShape shape = {.experts = {true, true}, .shared_experts = true};
  Pipeline pipeline(shape, {false, false});
  pipeline.OnDone(pipeline.Next());
  EXPECT_EQ(pipeline.Next(), (PipelineTask{Kind::kAdvance, 1, 0})) << "a dispatch goes before a shared expert";
  pipeline.OnDone(pipeline.Next());
  EXPECT_EQ(pipeline.Next(), (PipelineTask{Kind::kSharedExpert, 0, 0}));
  pipeline.OnArrived(1);
  EXPECT_EQ(pipeline.Next(), (PipelineTask{Kind::kAdvance, 1, 1}));
}

TEST(Pipeline, WithIdleWorkersTheShortestWayToADispatchComesFirst) {
  const PipelineShape shape = {.experts = {true, true}, .shared_experts = true};
  Pipeline pipeline(shape, {false, false});
  pipeline.OnDone(pipeline.Next());
  pipeline.OnDone(pipeline.Next());
  pipeline.OnDone({Kind::kSharedExpert, 1, 0});
  pipeline.OnArrived(0);
  pipeline.OnArrived(1);
  EXPECT_EQ(pipeline.Next(), (PipelineTask{Kind::kAdvance, 1, 1}));
}

// Property, over random arrivals: every micro-batch visits every layer once and in order, one that follows another never
// overtakes it, shared experts are computed before the combine or owed at it, and the router never waits while there is
// something to do.
TEST(Pipeline, VisitsEveryLayerOnceAndInOrder) {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    PipelineShape shape;
    shape.shared_experts = random() % 2 == 0;
    for (size_t layer = 0; layer < 1 + random() % 6; ++layer) {
      shape.experts.push_back(random() % 4 != 0);
    }
    const int layers = static_cast<int>(shape.experts.size());
    std::vector<bool> follows(1 + random() % 8);
    for (size_t i = 1; i < follows.size(); ++i) {
      follows[i] = random() % 3 == 0;
    }
    Pipeline pipeline(shape, follows);
    std::vector<int> visited(follows.size(), 0);
    std::vector<int> shared(follows.size(), 0);
    std::vector<int> owed(follows.size(), 0);
    std::set<int32_t> away;
    for (int steps = 0;; ++steps) {
      ASSERT_LT(steps, 10000);
      const PipelineTask task = pipeline.Next();
      if (task.kind == Kind::kDone) {
        break;
      }
      if (task.kind == Kind::kWait || (!away.empty() && random() % 3 == 0)) {
        ASSERT_FALSE(away.empty()) << "waits for nothing";
        const int32_t arrived = *std::next(away.begin(), static_cast<int64_t>(random() % away.size()));
        away.erase(arrived);
        pipeline.OnArrived(arrived);
        continue;
      }
      if (task.kind == Kind::kSharedExpert) {
        ++shared[task.micro_batch];
      } else {
        ASSERT_EQ(task.layer, visited[task.micro_batch]++);
        ASSERT_FALSE(away.contains(task.micro_batch));
        owed[task.micro_batch] += pipeline.OwesSharedExpert(task.micro_batch);
        if (task.layer < layers && follows[task.micro_batch]) {
          ASSERT_GT(visited[task.micro_batch - 1], task.layer) << "overtook the one it follows";
        }
        if (task.layer < layers && shape.experts[task.layer]) {
          away.insert(task.micro_batch);
        }
      }
      pipeline.OnDone(task);
    }
    EXPECT_TRUE(away.empty());
    const int64_t dispatches = std::count(shape.experts.begin(), shape.experts.end(), true);
    for (size_t i = 0; i < follows.size(); ++i) {
      EXPECT_EQ(visited[i], layers + 1);
      EXPECT_EQ(shared[i] + owed[i], shape.shared_experts ? dispatches : 0);
    }
  }
}

TEST(Pipeline, OnAStageTheOneAheadGoesFirstAndTheWindowHoldsOthersBack) {
  const PipelineShape shape = {.experts = std::vector<bool>(6, false)};
  const PipelinePath path = {.layers = {2, 4}, .enters = true, .leaves = true};
  Pipeline pipeline(shape, {path, path, path}, 2);
  EXPECT_EQ(pipeline.Next().kind, Kind::kWait) << "nothing has come yet";
  pipeline.OnArrived(1);
  EXPECT_EQ(pipeline.Next(), (PipelineTask{Kind::kAdvance, 1, 2}));
  pipeline.OnDone(pipeline.Next());
  pipeline.OnArrived(0);
  pipeline.OnArrived(2);
  EXPECT_EQ(pipeline.Next(), (PipelineTask{Kind::kAdvance, 1, 3}));
  pipeline.OnDone(pipeline.Next());
  EXPECT_EQ(pipeline.Next(), (PipelineTask{Kind::kAdvance, 1, 4})) << "leaves";
  pipeline.OnDone({Kind::kAdvance, 0, 2});
  EXPECT_EQ(pipeline.Next(), (PipelineTask{Kind::kAdvance, 1, 4})) << "two are inside, 2 has to wait";
  pipeline.OnDone(pipeline.Next());
  pipeline.OnDone({Kind::kAdvance, 0, 3});
  pipeline.OnDone({Kind::kAdvance, 0, 4});
  EXPECT_EQ(pipeline.Next(), (PipelineTask{Kind::kAdvance, 2, 2}));
}

TEST(Pipeline, OnTheLastStageTheOneBehindGoesFirst) {
  const PipelineShape shape = {.experts = std::vector<bool>(4, false)};
  const PipelinePath path = {.layers = {2, 4}};
  Pipeline pipeline(shape, {path, path}, 0);
  pipeline.OnDone(pipeline.Next());
  EXPECT_EQ(pipeline.Next(), (PipelineTask{Kind::kAdvance, 1, 2}));
}

TEST(Pipeline, OfTwoRangesTheOneWithTheLongestWayToGoComesFirst) {
  const PipelineShape shape = {.experts = std::vector<bool>(6, false)};
  Pipeline pipeline(shape, {{.layers = {4, 6}}, {.layers = {0, 2}, .leaves = true}}, 0);
  EXPECT_EQ(pipeline.Next(), (PipelineTask{Kind::kAdvance, 1, 0}));
}

// Property, over random stages and arrivals: every micro-batch visits its own layers once and in order, never before it
// has come, one that follows another never overtakes it, the window holds, and all of them get through.
TEST(Pipeline, VisitsTheLayersOfEachPathOnceAndInOrder) {
  std::mt19937 random(8);
  for (int round = 0; round < 2000; ++round) {
    PipelineShape shape;
    for (size_t layer = 0; layer < 2 + random() % 8; ++layer) {
      shape.experts.push_back(random() % 3 != 0);
    }
    const int middle = 1 + static_cast<int>(random() % (shape.experts.size() - 1));
    const LayerRange ranges[] = {{0, middle}, {middle, static_cast<int>(shape.experts.size())}};
    std::vector<PipelinePath> paths(1 + random() % 8);
    const size_t second = random() % (paths.size() + 1);
    for (size_t i = 0; i < paths.size(); ++i) {
      paths[i].layers = ranges[i >= second ? 1 : 0];
      paths[i].follows = i > 0 && i != second && random() % 3 == 0;
      paths[i].enters = random() % 2 == 0;
      paths[i].leaves = i >= second;
    }
    const int window = static_cast<int>(random() % 4);
    Pipeline pipeline(shape, paths, window);
    std::vector<int> next(paths.size());
    std::set<int32_t> pending;
    for (size_t i = 0; i < paths.size(); ++i) {
      next[i] = paths[i].layers.begin;
      if (paths[i].enters) {
        pending.insert(static_cast<int32_t>(i));
      }
    }
    for (int steps = 0;; ++steps) {
      ASSERT_LT(steps, 10000);
      const PipelineTask task = pipeline.Next();
      if (task.kind == Kind::kDone) {
        break;
      }
      if (task.kind == Kind::kWait || (!pending.empty() && random() % 3 == 0)) {
        ASSERT_FALSE(pending.empty()) << "waits for nothing";
        const int32_t arrived = *std::next(pending.begin(), static_cast<int64_t>(random() % pending.size()));
        pending.erase(arrived);
        pipeline.OnArrived(arrived);
        continue;
      }
      const PipelinePath& path = paths[task.micro_batch];
      ASSERT_EQ(task.layer, next[task.micro_batch]++);
      ASSERT_FALSE(pending.contains(task.micro_batch));
      if (task.layer < path.layers.end && path.follows) {
        ASSERT_GT(next[task.micro_batch - 1], task.layer) << "overtook the one it follows";
      }
      if (task.layer < path.layers.end && shape.experts[task.layer]) {
        pending.insert(task.micro_batch);
      }
      pipeline.OnDone(task);
      int inside = 0;
      for (size_t i = 0; i < paths.size(); ++i) {
        inside += next[i] > paths[i].layers.begin && next[i] <= paths[i].layers.end ? 1 : 0;
      }
      ASSERT_TRUE(window == 0 || inside <= window);
    }
    for (size_t i = 0; i < paths.size(); ++i) {
      EXPECT_EQ(next[i], paths[i].layers.end + 1);
    }
  }
}

TEST(CutStep, SplitsPromptsBetweenNeighbours) {
  const std::vector<StepItem> items = {{0, 1}, {1, 1}, {2, 10}};
  const std::vector<MicroBatch> cut = CutStep(items, 3);
  ASSERT_EQ(cut.size(), 3u);
  EXPECT_THAT(cut[0].items, testing::ElementsAre(StepItem{0, 1}, StepItem{1, 1}, StepItem{2, 2}));
  EXPECT_THAT(cut[1].items, testing::ElementsAre(StepItem{2, 4}));
  EXPECT_TRUE(cut[1].follows);
  EXPECT_THAT(cut[2].items, testing::ElementsAre(StepItem{2, 4}));
  EXPECT_TRUE(cut[2].follows);
}

// Property: nothing is lost, nothing is empty, the bound holds, and `follows` says the truth.
TEST(CutStep, KeepsEveryTokenOnce) {
  std::mt19937 random(6);
  for (int round = 0; round < 1000; ++round) {
    std::vector<StepItem> items;
    int64_t total = 0;
    for (size_t i = 0; i < 1 + random() % 12; ++i) {
      items.push_back({static_cast<int32_t>(i), random() % 2 == 0 ? 1 : 1 + static_cast<int64_t>(random() % 50)});
      total += items.back().num_tokens;
    }
    const int count = 1 + static_cast<int>(random() % 8);
    const std::vector<MicroBatch> cut = CutStep(items, count);
    EXPECT_EQ(static_cast<int64_t>(cut.size()), std::min<int64_t>(count, total));
    std::vector<int64_t> tokens(items.size(), 0);
    int32_t last = -1;
    for (size_t i = 0; i < cut.size(); ++i) {
      ASSERT_FALSE(cut[i].items.empty());
      EXPECT_EQ(cut[i].follows, cut[i].items.front().sequence == last);
      int64_t size = 0;
      for (const StepItem& item : cut[i].items) {
        EXPECT_GE(item.sequence, last);
        last = item.sequence;
        tokens[item.sequence] += item.num_tokens;
        size += item.num_tokens;
      }
      EXPECT_LE(size, (total + count - 1) / count);
    }
    for (size_t i = 0; i < items.size(); ++i) {
      EXPECT_EQ(tokens[i], items[i].num_tokens);
    }
  }
}

// Property: directions do not mix, each is cut as if it were alone, and the counts add up.
TEST(CutStep, KeepsDirectionsApart) {
  std::mt19937 random(7);
  for (int round = 0; round < 1000; ++round) {
    std::vector<StepItem> items;
    std::vector<int> directions;
    int64_t tokens[2] = {0, 0};
    for (size_t i = 0; i < 1 + random() % 12; ++i) {
      items.push_back({static_cast<int32_t>(i), 1 + static_cast<int64_t>(random() % 20)});
      directions.push_back(static_cast<int>(random() % 2));
      tokens[directions[i]] += items[i].num_tokens;
    }
    const int count = 1 + static_cast<int>(random() % 8);
    const std::vector<MicroBatch> cut = CutStep(items, directions, 2, count);
    EXPECT_LE(static_cast<int>(cut.size()), std::max(count, 2));
    EXPECT_TRUE(std::is_sorted(cut.begin(), cut.end(),
                               [](const MicroBatch& a, const MicroBatch& b) { return a.direction < b.direction; }));
    for (const MicroBatch& micro_batch : cut) {
      for (const StepItem& item : micro_batch.items) {
        EXPECT_EQ(directions[item.sequence], micro_batch.direction);
        tokens[micro_batch.direction] -= item.num_tokens;
      }
    }
    EXPECT_EQ(tokens[0], 0);
    EXPECT_EQ(tokens[1], 0);
    for (size_t i = 0; i < cut.size(); ++i) {
      EXPECT_TRUE(!cut[i].follows || cut[i - 1].direction == cut[i].direction);
    }
  }
}

}  // namespace
}  // namespace tandem::scheduler
