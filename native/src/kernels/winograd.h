// Convolutions of images with windows of 3 x 3 that move in steps of one, in fewer multiplications:
// tiles of 2 x 2 of the output from tiles of 4 x 4 of the input take 16 for each channel and filter
// instead of 36 (F(2 x 2, 3 x 3) of Lavin & Gray 2016, https://arxiv.org/abs/1509.09308).
//
// Arrays are (batch, height, width, channels), kernels (3, 3, channels, filters). Channels and
// filters fill whole vectors of 16.
#pragma once

#include <cstdint>

#include "levels.h"
#include "sharing.h"

namespace plait {

struct WinogradShape {
  int64_t batch, height, width, channels;
  int64_t out_height, out_width, filters;
  int64_t top, left;  // padding of the input; negative where it is cut off
};

// Tiles that are computed at once, and the floats of one place in all of them; a bit more than the
// channels take, so that the 16 planes do not meet in the same sets of a cache.
constexpr int64_t kWinogradTiles = 24;
PLAIT_INLINE constexpr int64_t WinogradPlane(int64_t channels) {
  return kWinogradTiles * channels + 16;
}

// The floats of scratch that the others need.
PLAIT_INLINE constexpr int64_t WinogradScratch(const WinogradShape& s, bool gradient) {
  return 16 * (WinogradPlane(s.channels) + WinogradPlane(s.filters) +
               (gradient ? s.channels * s.filters : 0));
}

// A kernel as WinogradForward takes it: 16 / 9 times as large.
struct WinogradKernel {
  int64_t channels, filters;
  const float* kernel;
  bool turned;  // by half a turn, channels and filters changed about, as gradients by inputs want
  float* spread;
};

struct WinogradForward {
  WinogradShape shape;
  const float *x, *spread;
  float *scratch, *y;
  bool* finite;  // whether all of y is
};

struct WinogradGradient {
  WinogradShape shape;
  const float *x, *by_y;
  float *scratch, *by_kernel;
  bool* finite;
};

PLAIT_KERNEL(RunWinogradKernel, WinogradKernel)
PLAIT_KERNEL(RunWinogradForward, WinogradForward)
PLAIT_KERNEL(RunWinogradGradient, WinogradGradient)

}  // namespace plait
