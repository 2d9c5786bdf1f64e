// LSTM and GRU over whole sequences, forward and backward.
//
// Threads share the batch, and each goes through all steps with its rows: nothing waits between
// steps, and weights and states stay in the cache. Arrays are (batch, time, width); what is null
// is not there.
#pragma once

#include <cstdint>

#include "levels.h"
#include "sharing.h"

namespace plait {

struct Recurrence {
  bool gru;      // with the reset gate after the recurrent kernel; else LSTM
  bool reverse;  // begins with the last step
  int64_t batch, steps, features, units;
  const float *x, *kernel, *recurrent, *bias;
  const float *first_h, *first_c;
  const uint8_t* keep;  // (batch, time): 0 where a step leaves the states as they are
  Sharing sharing;
  int64_t threads;  // among which the batch is shared

  PLAIT_INLINE int64_t Gates() const { return gru ? 3 : 4; }
  PLAIT_INLINE int64_t Padded() const { return (units + 15) / 16 * 16; }
  PLAIT_INLINE int64_t RowsOf(int64_t thread) const { return batch * (thread + 1) / threads - FirstOf(thread); }
  PLAIT_INLINE int64_t FirstOf(int64_t thread) const { return batch * thread / threads; }
  PLAIT_INLINE int64_t MostRows() const { return (batch + threads - 1) / threads; }
};

struct RecurrenceForward {
  Recurrence is;
  float *h, *last_h, *last_c;
  float *c, *gates;  // what the backward pass needs: c, and the activations of four gates
  float* scratch;    // ScratchFloats() of them
  PLAIT_INLINE int64_t ScratchFloats() const {
    const int64_t inner = is.features + is.units, width = 4 * is.Padded();
    return (inner + 1) * width + is.threads * is.MostRows() * (2 * inner + is.Padded());
  }
};

struct RecurrenceBackward {
  Recurrence is;
  const float *h, *c, *gates;                  // from the forward pass
  const float *by_h, *by_last_h, *by_last_c;   // gradients by its results
  float *by_x, *by_kernel, *by_recurrent, *by_bias, *by_first_h, *by_first_c;
  float* scratch;
  PLAIT_INLINE int64_t Columns() const {
    return (is.units + (by_x ? is.features : 0) + 63) / 64 * 64;
  }
  PLAIT_INLINE int64_t ScratchFloats() const {
    const int64_t inner = is.features + is.units, width = 4 * is.Padded();
    return width * Columns() + is.threads * ((inner + 1) * width +
           is.MostRows() * (width + inner + Columns() + is.Padded()));
  }
};

PLAIT_KERNEL(RunForward, RecurrenceForward)
PLAIT_KERNEL(RunBackward, RecurrenceBackward)

}  // namespace plait
