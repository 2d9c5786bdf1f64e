// Normalization of rows, scaled and shifted, and its gradients.
#pragma once

#include <cstdint>

#include "levels.h"

namespace plait {

struct Normalization {
  int64_t rows, features;
  const float *x, *scale, *shift;  // null: 1 and 0
  float epsilon;
  float *y, *moments;  // the mean of each row and 1 / deviation; null: not asked for
};

struct NormalizationBackward {
  int64_t rows, features;
  const float *x, *scale, *moments, *by_y;
  float *by_x, *by_scale, *by_shift;  // the latter are added to
};

PLAIT_KERNEL(RunNormalization, Normalization)
PLAIT_KERNEL(RunNormalizationBackward, NormalizationBackward)

}  // namespace plait
