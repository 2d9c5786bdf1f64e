#include "describe.h"

#define PLAIT_TEXT(word) #word
#define PLAIT_NAME(word) PLAIT_TEXT(word)

namespace plait::PLAIT_LEVEL {

void Describe(const Description& description) {
  *description.level = "x86-64-" PLAIT_NAME(PLAIT_LEVEL);
}

}  // namespace plait::PLAIT_LEVEL
