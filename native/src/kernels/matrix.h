// Products of matrices of any size.
#pragma once

#include <cstdint>

#include "levels.h"

namespace plait {

// c = a @ b + bias. Element (i, k) of a is at i * a_row + k * a_column, and so on; one of the two
// steps is 1, in c that of columns. What is null is not there.
struct Product {
  int64_t rows, inner, columns;
  const float* a;
  int64_t a_row, a_column;
  const float* b;
  int64_t b_row, b_column;
  float* c;
  int64_t c_row;
  const float* bias;  // of each column
  float* sums;        // becomes the sums of the columns of b
  float* scratch;     // kScratchFloats of them

  static constexpr int64_t kPanel = 64;        // columns that are computed at once, at most
  static constexpr int64_t kInner = 256;       // rows of b that are packed at once
  static constexpr int64_t kChunk = 1 << 16;   // numbers of a that stay in the cache
  static constexpr int64_t kScratchFloats = kInner * kPanel + kChunk + 32 * kInner;
};

PLAIT_KERNEL(RunProduct, Product)

}  // namespace plait
