// One update of Adam over some of a variable's numbers, all in one pass.
#pragma once

#include <cstdint>

#include "levels.h"

namespace plait {

struct Adam {
  int64_t count;
  const float *gradient, *variable, *momentum, *velocity;
  float *new_variable, *new_momentum, *new_velocity;  // may be those above
  float alpha;                                        // the learning rate, corrected for bias
  float momentum_share, velocity_share;               // of the gradient in the means
  float epsilon;
};

PLAIT_KERNEL(RunAdam, Adam)

}  // namespace plait
