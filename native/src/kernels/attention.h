// Attention of one head of one example: softmax(scale * q k^T) v, forward and backward.
//
// A block of queries at a time meets all keys, so that its weights stay in the core's cache; the
// backward pass computes them anew from each row's maximum and sum.
#pragma once

#include <cstdint>

#include "levels.h"
#include "sharing.h"

namespace plait {

struct Attention {
  int64_t queries, keys, channels, values;  // of q and k, and of v
  int64_t q_row, k_row, v_row, o_row;       // from one row of an array to the next
  const float *q, *k, *v;
  const uint8_t* mask;  // 0 where a query does not see a key; null: it sees all
  int64_t mask_row;     // from one query to the next; 0: it is the same for all
  float scale;

  static constexpr int64_t kBlock = 12;  // queries at a time

  // Sizes of rows and columns in scratch memory, padded to whole vectors and to whole blocks.
  PLAIT_INLINE static int64_t Wide(int64_t count) { return (count + 15) / 16 * 16; }
  PLAIT_INLINE static int64_t High(int64_t count) { return (count + kBlock - 1) / kBlock * kBlock; }
  PLAIT_INLINE int64_t Row() const { return Wide(High(keys)); }  // of scores and weights
};

struct AttentionForward {
  Attention is;
  float *output, *moments;  // the maximum and the sum of each row; null: not asked for
  float* scratch;           // ScratchFloats() of them
  PLAIT_INLINE int64_t ScratchFloats() const {
    return is.channels * is.Row() + is.keys * is.Wide(is.values) +
           is.kBlock * (is.Wide(is.channels) + is.Row() + 1);
  }
};

struct AttentionBackward {
  Attention is;
  const float *output, *moments, *by_output;
  float *by_q, *by_k, *by_v;
  float* scratch;
  PLAIT_INLINE int64_t ScratchFloats() const {
    const int64_t channels = is.Wide(is.channels), values = is.Wide(is.values);
    return (is.channels + is.values) * is.Row() + is.keys * channels +
           is.High(is.keys) * (channels + values) +
           is.kBlock * (channels + values + 2 * is.Row() + 3);
  }
};

PLAIT_KERNEL(RunAttention, AttentionForward)
PLAIT_KERNEL(RunAttentionBackward, AttentionBackward)

}  // namespace plait
