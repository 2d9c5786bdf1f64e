// What all kernels share: the engine, the turn that a kernel takes, and the cache of what was made.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dnnl.hpp"
#include "xla/ffi/api/ffi.h"

namespace plait {

namespace ffi = xla::ffi;

// A call that does not fit; it becomes an error in Python.
struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

dnnl::engine& Engine();
dnnl::stream& Stream();

// The right to compute. XLA may run several kernels at once, each of which would start as many
// OpenMP threads as there are cores; one after the other they are faster, and can share their
// scratch memory and the arguments inside cached primitives.
class Turn {
 public:
  Turn();

 private:
  std::lock_guard<std::mutex> lock_;
};

// Scratch memory of at least `bytes`, valid until the turn ends.
void* Scratch(size_t bytes);

using Key = std::vector<int64_t>;

struct KeyHash {
  size_t operator()(const Key& key) const noexcept {
    uint64_t hash = 14695981039346656037ULL;
    for (int64_t part : key) hash = (hash ^ static_cast<uint64_t>(part)) * 1099511628211ULL;
    return hash;
  }
};

// The most recently used values. Call it only within a turn.
template <typename Value>
class Cache {
 public:
  template <typename Make>
  Value& Get(const Key& key, Make make) {
    auto found = places_.find(key);
    if (found == places_.end()) {
      entries_.emplace_front(key, make());
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
  static constexpr size_t kCapacity = 512;
  using Entries = std::list<std::pair<Key, Value>>;
  Entries entries_;
  std::unordered_map<Key, typename Entries::iterator, KeyHash> places_;
};

// Runs a kernel; nothing it throws gets past XLA, which is built without exceptions.
template <typename Kernel>
ffi::Error Guarded(Kernel kernel) {
  try {
    Turn turn;
    kernel();
    return ffi::Error::Success();
  } catch (const Refused& error) {
    return ffi::Error::InvalidArgument(error.what());
  } catch (const dnnl::error& error) {
    return ffi::Error::Internal(std::string("oneDNN: ") + error.message);
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  }
}

}  // namespace plait
