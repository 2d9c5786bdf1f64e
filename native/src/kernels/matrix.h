// Products of matrices of any size.
#pragma once

#include <cstdint>

#include "levels.h"

namespace plait {

// c = a @ b + bias. Element (i, k) of a is at i * a_row + k * a_column, and so on; in memory either
// the rows or the columns of a and b are contiguous, and the rows of c. What is null is not there.
struct Product {
  int64_t rows, inner, columns;
  const float* a;
  int64_t a_row, a_column;
  const float* b;
  int64_t b_row, b_column;
  float* c;
  int64_t c_row;
  const float* bias;  // of each column
  float* sums;     // the sums of the columns of b
  float* scratch;  // kScratchFloats of them

  static constexpr int64_t kInner = 256;       // of b that is packed at once
  static constexpr int64_t kPart = 1 << 16;    // of a that stays in the cache
  static constexpr int64_t kScratchFloats = kInner * 64 + 2 * kPart + kInner * 16;
};

PLAIT_KERNEL(RunProduct, Product)

}  // namespace plait
