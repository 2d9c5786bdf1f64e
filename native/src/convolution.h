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

// A convolution of a batch in parts.
class PartedConvolution {
 public:
  // By Winograd's algorithm where there is one, else by oneDNN.
  static std::unique_ptr<PartedConvolution> Make(const Geometry& g, const Parts& parts);

  virtual ~PartedConvolution() = default;

  // The memory that it needs from `Begin` to the end of the last part.
  virtual size_t Bytes() const;

  // Packs the kernel, unless the kernel is what is wanted.
  virtual void Begin(float* kernel, char* memory);

  // Computes a part from a part of the others; a wanted kernel only adds up in `End`.
  virtual void Run(int64_t part, float* input, float* output) const = 0;

  // Adds up the kernels of all parts.
  void End(Team& team) const;

 protected:
  PartedConvolution(const Geometry& g, const Parts& parts)
      : wanted_(g.wanted), parts_(parts), numbers_(Count(g.kernel)) {}

  // What a part wants to know of the kernel: all of them read the same, each writes its own.
  float* KernelOf(int64_t part) const;

  const Role wanted_;
  const Parts parts_;
  const int64_t numbers_;  // of the kernel
  char* memory_ = nullptr;

 private:
  float* kernel_ = nullptr;
};

std::unique_ptr<PartedConvolution> MakeWithOneDnn(const Geometry& g, const Parts& parts);

// Whether Winograd's algorithm is for this, and a convolution that uses it.
bool IsForWinograd(const Geometry& g);
std::unique_ptr<PartedConvolution> MakeWinograd(const Geometry& g, const Parts& parts);

size_t Aligned(size_t bytes);

}  // namespace plait
