#include "adam.h"

namespace plait::PLAIT_LEVEL {

void RunAdam(const Adam& call) {
  const Adam c = call;
#pragma GCC ivdep
  for (int64_t i = 0; i < c.count; ++i) {
    const float g = c.gradient[i];
    const float m = c.momentum[i] + (g - c.momentum[i]) * c.momentum_share;
    const float v = c.velocity[i] + (g * g - c.velocity[i]) * c.velocity_share;
    c.new_variable[i] = c.variable[i] - m * c.alpha / (__builtin_sqrtf(v) + c.epsilon);
    c.new_momentum[i] = m;
    c.new_velocity[i] = v;
  }
}

}  // namespace plait::PLAIT_LEVEL
