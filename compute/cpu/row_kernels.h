// Kernels on single rows: conversion, norm, combine, expert scores.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compute/backend.h"
#include "compute/dtype.h"

namespace tandem::compute::cpu {

// to[0 … n) = from[0 … n) with a change between f32 and bf16 where the dtypes differ. The rows must not overlap.
void ConvertRow(const void* from, DType from_dtype, void* to, DType to_dtype, int64_t n);

// out = x / sqrt(mean(x²) + eps) * weight; out may be x.
void RmsNormRow(const float* x, const float* weight, float eps, float* out, int64_t n);

// h += Σ_j weights[j] · rows[j] + shared, rows [k, n] contiguous; shared may be null.
void CombineRow(const float* weights, int k, const void* rows, DType dtype, const float* shared, float* h, int64_t n);

// x *= sigmoid(gate)
void ScaleBySigmoid(float gate, float* x, int64_t n);

// Logits to scores in place, softmax or sigmoid.
void ScoreExperts(GateScoring scoring, float* logits, int64_t n);

// x = e^x, relative error below 2^-22.
void ExpRow(float* x, int64_t n);

}  // namespace tandem::compute::cpu
