// Poolings over windows of up to three axes, forward and backward.
//
// Whatever is written is computed from all that it depends on, so that threads share what is
// written, and nothing is added up in memory. Arrays are (batch, *sizes, channels).
#pragma once

#include <cstdint>

#include "levels.h"
#include "sharing.h"

namespace plait {

constexpr int64_t kMostInWindow = 256;  // a place in a window is a byte
constexpr int64_t kScratchOfPosition = 48;

struct Windows {
  int64_t batch, channels;
  int64_t elements[3], windows[3];  // how many of them there are on each axis
  int64_t size[3], strides[3], before[3];
  Sharing sharing;
  int64_t images;  // of the batch that are computed together: more than one if they are small
  int64_t parts;   // among which what is written is shared
  void* scratch;   // of ScratchBytes()

  PLAIT_INLINE int64_t ScratchBytes() const {
    return kScratchOfPosition * (elements[2] > windows[2] ? elements[2] : windows[2]);
  }
};

// The maximum of every window, and, unless `places` is null, where in the window it is: the place
// of the first that is largest, row by row, or that of the last NaN.
struct MaxPool {
  Windows is;
  const float* x;
  float* y;
  uint8_t* places;
};

// The mean of every window, or, with the places of maxima, the element there. Backward is the
// transpose of that, from windows to elements.
struct LinearPool {
  Windows is;
  bool backward;
  const float* from;
  const uint8_t* places;
  float* to;
};

PLAIT_KERNEL(RunMaxPool, MaxPool)
PLAIT_KERNEL(RunLinearPool, LinearPool)

}  // namespace plait
