// What a perfect pipeline would reach: the bound that measured steps are held against.
//
// MegaScale-Infer (arXiv:2504.02263), section 4.1, extended to cuts that do not fill the pipe.
#pragma once

namespace tandem::scheduler {

// A step of decode cut into equal micro-batches. Times in seconds, of one micro-batch in one layer.
struct UniformStep {
  int layers = 0;  // with experts
  int micro_batches = 1;
  double router = 0;  // without the shared expert, which it computes while the micro-batch is away
  double shared = 0;
  double expert = 0;
  double wire = 0;  // one way

  // Two resources that each take one micro-batch at a time; the wire takes any number. Never negative.
  double Seconds() const;

  // Of all communication (both ways of every micro-batch in every layer), the share that does not prolong the step:
  // 1 - (Seconds() - Seconds() with wire = 0) / communication. 0 when there is none.
  double HideableShare() const;

  double Communication() const { return 2 * wire * layers * micro_batches; }
};

}  // namespace tandem::scheduler
