// What stands between convolutions: normalization of channels, addition, relu, and their gradients.
//
// Arrays are (rows, channels); what is null is not there.
#pragma once

#include <cstdint>

#include "levels.h"

namespace plait {

// The mean of each channel, and the sum of squares around it.
struct ChannelMoments {
  int64_t rows, channels;
  const float* x;
  double *mean, *squares;
};

// y = relu(x * scale + shift + residual), with or without any of these; y may be x.
struct ChannelAffine {
  int64_t rows, channels;
  const float *x, *scale, *shift, *residual;
  bool relu;
  float* y;
};

// The gradient by what relu has taken: by_y where y > 0. Sums of it, and of it times x - mean.
struct ChannelSums {
  int64_t rows, channels;
  const float *by_y, *y, *x, *mean;
  float* masked;  // where to write it
  double *sum, *product;
};

// by_y where y > 0, times `by`, plus x * slope + offset.
struct ChannelGradient {
  int64_t rows, channels;
  const float *by_y, *y, *x, *by, *slope, *offset;
  float* by_x;
};

PLAIT_KERNEL(RunMoments, ChannelMoments)
PLAIT_KERNEL(RunAffine, ChannelAffine)
PLAIT_KERNEL(RunSums, ChannelSums)
PLAIT_KERNEL(RunGradient, ChannelGradient)

}  // namespace plait
