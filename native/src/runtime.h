// What all kernels share: the engine, the team of threads, and the cache of what was made.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dnnl.hpp"
#include "kernels/sharing.h"
#include "xla/ffi/api/ffi.h"

namespace plait {

namespace ffi = xla::ffi;

// A call that does not fit; it becomes an error in Python.
struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

dnnl::engine& Engine();
dnnl::stream& Stream();  // of this thread

// Within, oneDNN computes on the calling thread alone.
class OneThread {
 public:
  OneThread();
  ~OneThread();

 private:
  int before_;
};

// The thread that calls, and those of XLA's pool that are free.
//
// Threads of another pool would compete with XLA's, which may run other kernels meanwhile: whoever
// waits for one that has no core waits for milliseconds. Threads that have come stay for the life of
// the team, which is one call of a kernel: to wake them anew takes as long as a small task.
class Team {
 public:
  explicit Team(ffi::ThreadPool& pool);
  ~Team();

  // The most that run at once: cores that this process may use, or OMP_NUM_THREADS if it is less.
  int64_t threads() const { return threads_; }

  // Calls `task` with each part from 0 to `parts`, on any thread, and returns when all are done.
  // Parts that no other thread has begun are run by the calling one, so that none is waited for
  // that may not come.
  void Each(int64_t parts, const std::function<void(int64_t)>& task);

  // Adds to `sum` the numbers of all parts but the first, in their order.
  void AddUp(float* sum, int64_t numbers, int64_t parts,
             const std::function<const float*(int64_t)>& of_part);

  Sharing sharing();

 private:
  class Board;

  ffi::ThreadPool& pool_;
  const int64_t threads_;
  std::shared_ptr<Board> board_;  // once others have been called
};

// Memory of this thread, of at least `bytes`; it stays as it is until the thread asks again for
// memory of the same kind.
enum class Scratch { kOfCall, kOfPart, kOfConvolution };
void* Memory(Scratch kind, size_t bytes);

using Key = std::vector<int64_t>;

struct KeyHash {
  size_t operator()(const Key& key) const noexcept {
    uint64_t hash = 14695981039346656037ULL;
    for (int64_t part : key) hash = (hash ^ static_cast<uint64_t>(part)) * 1099511628211ULL;
    return hash;
  }
};

// The most recently used values.
template <typename Value>
class Cache {
 public:
  template <typename Make>
  std::shared_ptr<const Value> Get(const Key& key, Make make) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = places_.find(key);
    if (found == places_.end()) {
      entries_.emplace_front(key, std::make_shared<const Value>(make()));
      found = places_.emplace(key, entries_.begin()).first;
      if (entries_.size() > kCapacity) {
        places_.erase(entries_.back().first);
        entries_.pop_back();
      }
    } else {
      entries_.splice(entries_.begin(), entries_, found->second);
    }
    return entries_.front().second;
  }

 private:
  static constexpr size_t kCapacity = 1024;
  using Entries = std::list<std::pair<Key, std::shared_ptr<const Value>>>;
  std::mutex mutex_;
  Entries entries_;
  std::unordered_map<Key, typename Entries::iterator, KeyHash> places_;
};

// Runs the kernel of this name; nothing it throws gets past XLA, which is built without exceptions.
template <typename Kernel>
ffi::Error Guarded(const std::string& name, Kernel kernel) {
  try {
    kernel();
    return ffi::Error::Success();
  } catch (const Refused& error) {
    return ffi::Error::InvalidArgument(name + ": " + error.what());
  } catch (const dnnl::error& error) {
    return ffi::Error::Internal(name + ": oneDNN: " + error.message);
  } catch (const std::exception& error) {
    return ffi::Error::Internal(name + ": " + error.what());
  }
}

}  // namespace plait
