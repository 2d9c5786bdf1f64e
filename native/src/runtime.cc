#include "runtime.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <thread>

#include "kernels/describe.h"

namespace plait {
namespace {

// Set by OMP_NUM_THREADS, or the cores that the process may use; read when the library is loaded.
const int64_t kMostThreads = omp_get_max_threads();

void Pause(int turns) {
  if (turns < 10000)
    __builtin_ia32_pause();
  else
    std::this_thread::yield();
}

// Parts of one task, which whoever is free takes one after another.
class Parted {
 public:
  Parted(int64_t parts, const std::function<void(int64_t)>& task) : parts_(parts), task_(task) {}

  // A thread that comes when all parts are taken does not touch the task, which may be gone.
  void Work() {
    for (int64_t part; (part = next_.fetch_add(1)) < parts_;) {
      try {
        task_(part);
      } catch (...) {
        std::lock_guard<std::mutex> lock(mutex_);
        error_ = std::current_exception();
      }
      done_.fetch_add(1, std::memory_order_release);
    }
  }

  void Wait() {
    for (int turns = 0; done_.load(std::memory_order_acquire) < parts_; ++turns) Pause(turns);
    if (error_) std::rethrow_exception(error_);
  }

 private:
  const int64_t parts_;
  const std::function<void(int64_t)>& task_;
  std::atomic<int64_t> next_{0}, done_{0};
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace

dnnl::engine& Engine() {
  // Never destroyed: a kernel may still run when the process ends.
  static auto* engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

dnnl::stream& Stream() {
  thread_local dnnl::stream stream(Engine());
  return stream;
}

OneThread::OneThread() : before_(omp_get_max_threads()) {
  if (before_ != 1) omp_set_num_threads(1);
}

OneThread::~OneThread() {
  if (before_ != 1) omp_set_num_threads(before_);
}

Team::Team(ffi::ThreadPool& pool)
    : pool_(pool), threads_(std::max<int64_t>(std::min(pool.num_threads(), kMostThreads), 1)) {}

// Where a team's tasks are put up for those who help.
class Team::Board {
 public:
  void Put(std::shared_ptr<Parted> task) {
    std::lock_guard<std::mutex> lock(mutex_);
    task_ = std::move(task);
    count_.fetch_add(1, std::memory_order_release);
  }

  void Close() { count_.store(-1, std::memory_order_release); }

  // Helps with every task until the board is closed.
  void Help() {
    int64_t seen = 0, count;
    for (int turns = 0; (count = count_.load(std::memory_order_acquire)) >= 0;) {
      if (count == seen) {
        Pause(++turns);
        continue;
      }
      seen = count, turns = 0;
      std::shared_ptr<Parted> task;
      {
        std::lock_guard<std::mutex> lock(mutex_);
        task = task_;
      }
      task->Work();
    }
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<Parted> task_;
  std::atomic<int64_t> count_{0};  // of tasks; -1: closed
};

Team::~Team() {
  if (board_) board_->Close();
}

void Team::Each(int64_t parts, const std::function<void(int64_t)>& task) {
  if (threads_ == 1 || parts == 1) {
    for (int64_t part = 0; part < parts; ++part) task(part);
    return;
  }
  auto parted = std::make_shared<Parted>(parts, task);
  const bool first = !board_;
  if (first) board_ = std::make_shared<Board>();
  board_->Put(parted);
  for (int64_t i = 1; first && i < threads_; ++i)
    pool_.Schedule([board = board_] { board->Help(); });
  parted->Work();
  parted->Wait();
}

void Team::AddUp(float* sum, int64_t numbers, int64_t parts,
                 const std::function<const float*(int64_t)>& of_part) {
  const int64_t shares = numbers < 1 << 16 ? 1 : threads_;
  Each(shares, [&](int64_t share) {
    const int64_t first = numbers * share / shares, last = numbers * (share + 1) / shares;
    for (int64_t part = 1; part < parts; ++part) {
      const float* more = of_part(part);
      for (int64_t i = first; i < last; ++i) sum[i] += more[i];
    }
  });
}

Sharing Team::sharing() {
  return {this, [](void* team, int64_t parts, void (*task)(const void*, int64_t),
                   const void* data) {
            static_cast<Team*>(team)->Each(parts, [=](int64_t part) { task(data, part); });
          }};
}

void* Memory(Scratch kind, size_t bytes) {
  struct Block {
    void* memory = nullptr;
    size_t size = 0;
    ~Block() { std::free(memory); }
  };
  thread_local Block blocks[3];
  Block& block = blocks[static_cast<int>(kind)];
  if (bytes > block.size) {
    std::free(block.memory);
    block.size = 0;
    bytes = (bytes + 4095) / 4096 * 4096;
    block.memory = std::aligned_alloc(4096, bytes);
    if (block.memory == nullptr) throw std::bad_alloc();
    block.size = bytes;
  }
  return block.memory;
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
