#include "runtime.h"

#include <omp.h>
#include <pthread.h>

#include <cstdlib>

#include "kernels/describe.h"

namespace plait {
namespace {

std::mutex turn;
bool forked = false;

// OpenMP's threads do not survive a fork, and waiting for them would never end: a forked process
// computes on the calling thread alone. Holding the turn over the fork keeps its state whole.
const int registered = pthread_atfork([] { turn.lock(); }, [] { turn.unlock(); },
                                      [] {
                                        forked = true;
                                        turn.unlock();
                                      });

}  // namespace

dnnl::engine& Engine() {
  // Never destroyed: a kernel may still run when the process ends.
  static auto* engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

dnnl::stream& Stream() {
  static auto* stream = new dnnl::stream(Engine());
  return *stream;
}

Turn::Turn() : lock_(turn) {
  (void)registered;
  if (forked) omp_set_num_threads(1);
}

void* Scratch(size_t bytes) {
  static void* memory = nullptr;
  static size_t size = 0;
  if (bytes > size) {
    std::free(memory);
    size = 0;
    bytes = (bytes + 4095) / 4096 * 4096;
    memory = std::aligned_alloc(4096, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    size = bytes;
  }
  return memory;
}

Level BestLevel() {
  static const Level best = [] {
    const auto allowed = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
    auto allows = [&](dnnl::cpu_isa isa) {
      return (allowed & static_cast<unsigned>(isa)) == static_cast<unsigned>(isa);
    };
    if (allows(dnnl::cpu_isa::avx512_core) && __builtin_cpu_supports("x86-64-v4"))
      return Level::kV4;
    if (allows(dnnl::cpu_isa::avx2) && __builtin_cpu_supports("x86-64-v3")) return Level::kV3;
    return Level::kV2;
  }();
  return best;
}

}  // namespace plait

#pragma GCC visibility push(default)

// Returns the level of x86-64 that the kernels which run here were compiled for.
extern "C" const char* plait_onednn_level() {
  const char* level = "";
  plait::Describe({&level});
  return level;
}

#pragma GCC visibility pop
