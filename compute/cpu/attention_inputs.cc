// What precedes attention: norms, rotary embedding and the append to the KV cache.
#include <algorithm>

#include "compute/cpu/attention.h"
#include "compute/cpu/kv_blocks.h"
#include "compute/cpu/memory.h"
#include "compute/cpu/row_kernels.h"

namespace tandem::compute::cpu {
namespace {

// Rotates x[0 … rotary_dim) in place. table: rotary_dim / 2 cosines, then as many sines.
void Rotate(const RopeArgs& rope, const float* table, float* x) {
  const int half = rope.rotary_dim / 2;
  const float* cosines = table;
  const float* sines = table + half;
  for (int i = 0; i < half; ++i) {
    float& a = rope.interleaved ? x[2 * i] : x[i];
    float& b = rope.interleaved ? x[2 * i + 1] : x[i + half];
    const float first = a * cosines[i] - b * sines[i];
    b = b * cosines[i] + a * sines[i];
    a = first;
  }
}

const float* RopeRow(const RopeArgs& rope, int32_t position) {
  return rope.rotary_dim == 0 ? nullptr : Data<float>(rope.cos_sin) + int64_t{position} * rope.rotary_dim;
}

void CheckRope(const RopeArgs& rope, const CpuBatchLayout& batch) {
  if (rope.rotary_dim == 0) {
    return;
  }
  TANDEM_CHECK(rope.rotary_dim % 2 == 0 && rope.cos_sin.defined() && rope.cos_sin.dim(1) == rope.rotary_dim,
               "rotary_dim ", rope.rotary_dim);
  TANDEM_CHECK(batch.max_position() < rope.cos_sin.dim(0), "position ", batch.max_position(), " of a table of ",
               rope.cos_sin.dim(0));
}

void Clip(float limit, float* x, int64_t n) {
  if (limit <= 0) {
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
  }
}

// Norms, clips and rotates `num_heads` heads in place.
void FinishHeads(const GqaArgs& args, const float* norm, int num_heads, const float* rope_row, float* x) {
  const int64_t width = int64_t{num_heads} * args.head_dim;
  if (args.qk_norm == QkNorm::kFullWidth) {
    RmsNormRow(x, norm, args.norm_eps, x, width);
  } else if (args.qk_norm == QkNorm::kPerHead) {
    for (int h = 0; h < num_heads; ++h) {
      RmsNormRow(x + int64_t{h} * args.head_dim, norm, args.norm_eps, x + int64_t{h} * args.head_dim, args.head_dim);
    }
  }
  Clip(args.clip_qkv, x, width);
  if (rope_row != nullptr) {
    for (int h = 0; h < num_heads; ++h) {
      Rotate(args.rope, rope_row, x + int64_t{h} * args.head_dim);
    }
  }
}

const float* NormWeight(const GqaArgs& args, const Tensor& weight, int64_t num_heads) {
  if (args.qk_norm == QkNorm::kNone) {
    return nullptr;
  }
  const int64_t width = args.qk_norm == QkNorm::kPerHead ? args.head_dim : num_heads * args.head_dim;
  TANDEM_CHECK(weight.defined() && weight.num_elements() == width, "qk norm of width ", width);
  return Data<float>(weight);
}

}  // namespace

void PrepareGqa(ThreadPool& pool, const GqaArgs& args, const Tensor& qkv, const CpuBatchLayout& batch,
                const KvCacheLayer& cache, const Tensor& q_out) {
  const int64_t q_width = int64_t{args.num_heads} * args.head_dim;
  const int64_t kv_width = int64_t{args.num_kv_heads} * args.head_dim;
  TANDEM_CHECK(qkv.dim(0) == batch.num_rows() && qkv.dim(1) == q_width + 2 * kv_width, "qkv [", qkv.dim(0), ", ",
               qkv.dim(1), "], batch of ", batch.num_rows());
  TANDEM_CHECK(q_out.num_elements() == qkv.dim(0) * q_width, "q_out of ", q_out.num_elements());
  TANDEM_CHECK(args.rope.rotary_dim <= args.head_dim, "rotary_dim ", args.rope.rotary_dim);
  CheckRope(args.rope, batch);
  CheckCache(cache, batch, args.num_kv_heads, args.head_dim);
  TANDEM_CHECK(cache.values.defined() && cache.values.dim(3) == args.head_dim, "no values of ", args.head_dim);
  const float* q_norm = NormWeight(args, args.q_norm, args.num_heads);
  const float* k_norm = NormWeight(args, args.k_norm, args.num_kv_heads);
  const float* const from = Data<float>(qkv);
  float* const q_to = Data<float>(q_out);
  ForEachRow(pool, qkv.dim(0), 16 * qkv.dim(1), [&](int64_t row) {
    thread_local Scratch scratch;
    float* const kv = scratch.Reserve(2 * kv_width);
    const CpuBatchLayout::Row& place = batch.rows()[static_cast<size_t>(row)];
    const float* rope_row = RopeRow(args.rope, place.position);
    const float* x = from + row * qkv.dim(1);
    std::copy_n(x, q_width, q_to + row * q_width);
    FinishHeads(args, q_norm, args.num_heads, rope_row, q_to + row * q_width);
    std::copy_n(x + q_width, 2 * kv_width, kv);
    FinishHeads(args, k_norm, args.num_kv_heads, rope_row, kv);
    Clip(args.clip_qkv, kv + kv_width, kv_width);
    StoreKeys(cache, place, kv);
    StoreValues(cache, place, kv + kv_width);
  });
}

void PrepareMla(ThreadPool& pool, Scratch& scratch, const MlaArgs& args, const Tensor& q, const Tensor& kv_a,
                const CpuBatchLayout& batch, const KvCacheLayer& cache, const Tensor& q_out) {
  const int64_t lora = args.kv_lora_rank;
  const int64_t nope = args.qk_nope_head_dim;
  const int64_t rotary = args.qk_rope_head_dim;
  const int64_t heads = args.num_heads;
  const int64_t rows = q.dim(0);
  TANDEM_CHECK(rows == batch.num_rows() && q.dim(1) == heads * (nope + rotary) && kv_a.dim(0) == rows &&
                   kv_a.dim(1) == lora + rotary,
               "q [", rows, ", ", q.dim(1), "], kv_a [", kv_a.dim(0), ", ", kv_a.dim(1), "]");
  TANDEM_CHECK(q_out.num_elements() == rows * heads * (lora + rotary), "q_out of ", q_out.num_elements());
  TANDEM_CHECK(args.rope.rotary_dim == rotary || args.rope.rotary_dim == 0, "rotary_dim ", args.rope.rotary_dim);
  TANDEM_CHECK(args.kv_norm.num_elements() == lora, "kv_norm of ", args.kv_norm.num_elements());
  CheckRope(args.rope, batch);
  CheckCache(cache, batch, 1, lora + rotary);
  TANDEM_CHECK(!cache.values.defined(), "a latent cache has no values");
  const auto* w_uk = dynamic_cast<const PackedMatrix*>(args.w_uk.get());
  TANDEM_CHECK(w_uk != nullptr && w_uk->groups() == heads && w_uk->rows() == lora && w_uk->cols() == nope,
               "w_uk does not match");
  const float* const q_data = Data<float>(q);
  const float* const kv_data = Data<float>(kv_a);
  const float* const norm = Data<float>(args.kv_norm);
  float* const out = Data<float>(q_out);
  ForEachRow(pool, rows, 16 * (lora + heads * rotary), [&](int64_t row) {
    thread_local Scratch row_scratch;
    float* const key = row_scratch.Reserve(lora + rotary);
    const CpuBatchLayout::Row& place = batch.rows()[static_cast<size_t>(row)];
    const float* rope_row = RopeRow(args.rope, place.position);
    const float* kv = kv_data + row * (lora + rotary);
    RmsNormRow(kv, norm, args.norm_eps, key, lora);
    std::copy_n(kv + lora, rotary, key + lora);
    if (rope_row != nullptr) {
      Rotate(args.rope, rope_row, key + lora);
    }
    StoreKeys(cache, place, key, lora);
    for (int64_t h = 0; h < heads; ++h) {
      float* to = out + (row * heads + h) * (lora + rotary) + lora;
      std::copy_n(q_data + (row * heads + h) * (nope + rotary) + nope, rotary, to);
      if (rope_row != nullptr) {
        Rotate(args.rope, rope_row, to);
      }
    }
  });
  GemmCall call;
  call.w = w_uk;
  call.num_rows = rows;
  call.x = q_data;
  call.x_row_stride = heads * (nope + rotary);
  call.x_group_stride = nope + rotary;
  call.out = out;
  call.out_row_stride = heads * (lora + rotary);
  call.out_group_stride = lora + rotary;
  Gemm(pool, scratch, call);
}

}  // namespace tandem::compute::cpu
