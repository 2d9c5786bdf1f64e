// Kernels of our own are compiled once for each of these levels of x86-64, and the best that the
// processor has is run.
//
// A kernel is a function of one struct. It is declared here or in a header of its own by
// PLAIT_KERNEL(Name, Call), written in a file of this directory as `void Name(const Call& call)`
// within `namespace plait::PLAIT_LEVEL`, and called as `plait::Name(call)`. The file stands in
// CMakeLists.txt among those that are compiled for every level.
//
// Such a file includes nothing but headers of this directory, <cstdint> and <immintrin.h>, whose
// functions are always inlined: of a function that several objects define inline, as the standard
// library's, the linker keeps one, which may be the one for a processor that is not there.
#pragma once

namespace plait {

enum class Level { kV2, kV3, kV4 };

// The best level of this processor; the environment variable ONEDNN_MAX_CPU_ISA limits it as it
// limits oneDNN.
Level BestLevel();

}  // namespace plait

#ifdef PLAIT_LEVEL
#define PLAIT_KERNEL(name, Call) \
  namespace PLAIT_LEVEL {        \
  void name(const Call& call);   \
  }
#else
#define PLAIT_KERNEL(name, Call)              \
  namespace v2 {                              \
  void name(const Call& call);                \
  }                                           \
  namespace v3 {                              \
  void name(const Call& call);                \
  }                                           \
  namespace v4 {                              \
  void name(const Call& call);                \
  }                                           \
  inline void name(const Call& call) {        \
    switch (BestLevel()) {                    \
      case Level::kV4: return v4::name(call); \
      case Level::kV3: return v3::name(call); \
      case Level::kV2: return v2::name(call); \
    }                                         \
  }
#endif
