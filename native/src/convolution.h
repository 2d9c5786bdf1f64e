// Convolutions that share a batch in parts.
#pragma once

#include <algorithm>
#include <memory>

#include "operands.h"

namespace plait {

enum Role : int64_t { kInput = 0, kKernel = 1, kOutput = 2 };

// Which of the three is computed from the other two, and how the window moves. Input and output are
// (batch, *sizes, channels), the kernel is (*window, channels / groups, filters), all of them dense.
struct Geometry {
  Role wanted;
  Dims input, kernel, output;
  Dims strides, dilation, before, after;
  int64_t groups;

  Geometry Wanting(Role role) const {
    Geometry other = *this;
    other.wanted = role;
    return other;
  }
};

int64_t Count(const Dims& shape);

// Throws Refused if sizes do not fit.
void Check(const Geometry& g);

// How a batch is shared: parts of equal size, but that the first ones may have one example more.
struct Parts {
  int64_t count, size, larger;

  int64_t First(int64_t part) const { return part * size + std::min(part, larger); }
  int64_t Size(int64_t part) const { return size + (part < larger); }
};

Parts Split(const Geometry& g, int64_t threads);

struct Convolution;

// A convolution of a batch in parts.
class PartedConvolution {
 public:
  PartedConvolution(const Geometry& g, const Parts& parts);
  ~PartedConvolution();

  // The memory that it needs from `Begin` to the end of the last part.
  size_t Bytes() const;

  // Packs the kernel, unless the kernel is what is wanted.
  void Begin(float* kernel, char* memory);

  // Computes a part from a part of the others; a wanted kernel only adds up in `End`.
  void Run(int64_t part, float* input, float* output) const;

  // Adds up the kernels of all parts.
  void End(Team& team) const;

 private:
  float* KernelOf(int64_t part) const;

  const Role wanted_;
  const Parts parts_;
  const int64_t numbers_;  // of the kernel
  std::shared_ptr<const Convolution> made_[2];
  float* kernel_ = nullptr;
  char* memory_ = nullptr;
  void* packed_[2] = {};
};

}  // namespace plait
