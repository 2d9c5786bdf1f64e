// Convolutions with windows of 3 x 3 by Winograd's algorithm.

#include <vector>

#include "convolution.h"
#include "kernels/winograd.h"

namespace plait {
namespace {

class Winograd final : public PartedConvolution {
 public:
  Winograd(const Geometry& g, const Parts& parts) : PartedConvolution(g, parts), g_(g) {}

  size_t Bytes() const override {
    return wanted_ == kKernel ? PartedConvolution::Bytes() : numbers_ * 16 / 9 * sizeof(float);
  }

  void Begin(float* kernel, char* memory) override {
    PartedConvolution::Begin(kernel, memory);
    if (wanted_ == kKernel) return;
    const WinogradShape shape = Shape(0);
    RunWinogradKernel({shape.channels, shape.filters, kernel, wanted_ == kInput, Spread()});
  }

  void Run(int64_t part, float* input, float* output) const override {
    const WinogradShape shape = Shape(part);
    const size_t floats = WinogradScratch(shape, wanted_ == kKernel);
    float* scratch =
        static_cast<float*>(Memory(Scratch::kOfConvolution, floats * sizeof(float)));
    bool finite;
    if (wanted_ == kKernel)
      RunWinogradGradient({shape, input, output, scratch, KernelOf(part), &finite});
    else if (wanted_ == kOutput)
      RunWinogradForward({shape, input, Spread(), scratch, output, &finite});
    else
      RunWinogradForward({shape, output, Spread(), scratch, input, &finite});
    if (!finite) RunDirectly(part, input, output);
  }

 private:
  float* Spread() const { return reinterpret_cast<float*>(memory_); }

  // That of a part. The gradient by the input is a convolution of the gradient by the output.
  WinogradShape Shape(int64_t part) const {
    const bool back = wanted_ == kInput;
    const Dims &from = back ? g_.output : g_.input, &to = back ? g_.input : g_.output;
    return {parts_.Size(part),
            from[1],
            from[2],
            from[3],
            to[1],
            to[2],
            to[3],
            back ? 2 - g_.before[0] : g_.before[0],
            back ? 2 - g_.before[1] : g_.before[1]};
  }

  // Sums of tiles make NaN of infinities and of numbers near the largest; products of single numbers
  // do so only where NaN is right.
  void RunDirectly(int64_t part, float* input, float* output) const {
    Geometry g = g_;
    g.input[0] = g.output[0] = parts_.Size(part);
    const auto direct = MakeWithOneDnn(g, {1, parts_.Size(part), 0});
    std::vector<char> memory(direct->Bytes());
    direct->Begin(KernelOf(part), memory.data());
    direct->Run(0, input, output);
  }

  const Geometry g_;
};

}  // namespace

// Few tiles are not worth that the kernel is transformed, and a kernel that is far larger than a
// core's cache is read from memory for every few tiles.
bool IsForWinograd(const Geometry& g) {
  constexpr int64_t kLeastTiles = 32, kLargest = 256 * 256;
  const Dims once{1, 1};
  if (g.strides != once || g.dilation != once || g.groups != 1) return false;
  const int64_t channels = g.kernel[2], filters = g.kernel[3];
  const Dims& to = g.wanted == kInput ? g.input : g.output;
  return g.kernel[0] == 3 && g.kernel[1] == 3 && channels % 16 == 0 && filters % 16 == 0 &&
         channels * filters <= kLargest &&
         to[0] * ((to[1] + 1) / 2) * ((to[2] + 1) / 2) >= kLeastTiles;
}

std::unique_ptr<PartedConvolution> MakeWinograd(const Geometry& g, const Parts& parts) {
  return std::make_unique<Winograd>(g, parts);
}

}  // namespace plait
