// How kernels share their work among threads.
#pragma once

#include <cstdint>

namespace plait {

// Functions that handlers and kernels of every level call are never shared between them.
#define PLAIT_INLINE inline __attribute__((always_inline))

// Runs tasks on the threads of a team, which only handlers know.
struct Sharing {
  void* team;
  void (*run)(void* team, int64_t parts, void (*task)(const void* data, int64_t part),
              const void* data);

  // Calls `task` with each part from 0 to `parts`, on any thread, and returns when all are done.
  template <typename Task>
  PLAIT_INLINE void Each(int64_t parts, const Task& task) const {
    run(
        team, parts,
        [](const void* data, int64_t part) { (*static_cast<const Task*>(data))(part); }, &task);
  }
};

}  // namespace plait
