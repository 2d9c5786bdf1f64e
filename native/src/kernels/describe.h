// Tells which level the kernels that run here were compiled for.
#pragma once

#include "levels.h"

namespace plait {

struct Description {
  const char** level;
};

PLAIT_KERNEL(Describe, Description)

}  // namespace plait
