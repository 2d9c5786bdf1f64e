// Products with a kernel, and their gradients: x @ kernel + bias.

#include <algorithm>

#include "kernels/matrix.h"
#include "runtime.h"

namespace plait {
namespace {

using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::Result<Array>;

// A product in parts, which share the axis along which they repeat the least of each other's work.
class PartedProduct {
 public:
  PartedProduct(const Product& product, int64_t threads) : whole_(product) {
    constexpr int64_t kLeast = 1 << 21;  // smaller parts cost more than they save
    const int64_t panels = Panels();
    const int64_t work = 2 * product.rows * product.inner * product.columns;
    count_ = std::clamp<int64_t>(work / kLeast, 1, 2 * threads);
    if (panels >= threads && 4 * product.columns >= product.rows) {
      axis_ = kColumns;
      count_ = std::min(count_, panels);
    } else if (product.inner >= 2 * std::max(product.rows, product.columns)) {
      axis_ = kInner;
      count_ = std::min(count_, threads);
    } else {
      axis_ = kRows;
      count_ = std::min(count_, product.rows);
    }
    if (count_ > threads) count_ -= count_ % threads;
  }

  int64_t parts() const { return count_; }

  // The floats that it needs from the first part to `End`: results that are still to be added up.
  int64_t Floats() const {
    return axis_ == kInner ? (count_ - 1) * (whole_.rows + 1) * whole_.columns : 0;
  }

  void Begin(float* memory) { memory_ = memory; }

  void Run(int64_t part) const {
    Product p = whole_;
    if (axis_ == kColumns) {
      const int64_t first = Panels() * part / count_ * Product::kPanel;
      const int64_t next = Panels() * (part + 1) / count_ * Product::kPanel;
      p.columns = std::min(next, p.columns) - first;
      p.b += first * p.b_column, p.c += first;
      if (p.bias) p.bias += first;
      if (p.sums) p.sums += first;
    } else if (axis_ == kRows) {
      const int64_t first = p.rows * part / count_;
      p.rows = p.rows * (part + 1) / count_ - first;
      p.a += first * p.a_row, p.c += first * p.columns;
      if (part) p.sums = nullptr;
    } else {
      const int64_t first = p.inner * part / count_;
      p.inner = p.inner * (part + 1) / count_ - first;
      p.a += first * p.a_column, p.b += first * p.b_row;
      if (part) {
        p.c = memory_ + (part - 1) * (p.rows + 1) * p.columns;
        if (p.sums) p.sums = p.c + p.rows * p.columns;
        p.bias = nullptr;
      }
    }
    p.scratch = static_cast<float*>(
        Memory(Scratch::kOfPart, Product::kScratchFloats * sizeof(float)));
    RunProduct(p);
  }

  // Adds up what parts of the inner axis gave.
  void End() const {
    if (axis_ != kInner) return;
    const int64_t numbers = whole_.rows * whole_.columns;
    for (int64_t part = 1; part < count_; ++part) {
      const float* more = memory_ + (part - 1) * (numbers + whole_.columns);
      for (int64_t i = 0; i < numbers; ++i) whole_.c[i] += more[i];
      if (whole_.sums)
        for (int64_t i = 0; i < whole_.columns; ++i) whole_.sums[i] += more[numbers + i];
    }
  }

 private:
  enum Axis { kRows, kColumns, kInner };

  int64_t Panels() const { return (whole_.columns + Product::kPanel - 1) / Product::kPanel; }

  Product whole_;
  Axis axis_;
  int64_t count_;
  float* memory_ = nullptr;
};

struct Sizes {
  int64_t rows, features, units;
};

float* Optional(Array& array) { return array.element_count() ? array.typed_data() : nullptr; }

void CheckLike(Array& gradient, Array& operand, bool optional) {
  const int64_t count = gradient.element_count();
  if (count != static_cast<int64_t>(operand.element_count()) && !(optional && count == 0))
    throw Refused("dense: the size of a gradient does not fit.");
}

Sizes Check(Array& x, Array& kernel, Array& bias, Array& y) {
  auto sizes = [](Array& array) { return array.dimensions(); };
  if (sizes(x).size() != 2 || sizes(kernel).size() != 2 || sizes(y).size() != 2)
    throw Refused("dense: numbers of axes do not fit.");
  const Sizes s{sizes(x)[0], sizes(x)[1], sizes(kernel)[1]};
  const int64_t biases = bias.element_count();
  if (sizes(kernel)[0] != s.features || sizes(y)[0] != s.rows || sizes(y)[1] != s.units ||
      (biases != 0 && biases != s.units))
    throw Refused("dense: sizes do not fit.");
  return s;
}

ffi::Error Forward(ffi::ThreadPool pool, Array x, Array kernel, Array bias, Result y) {
  return Guarded([&] {
    const Sizes s = Check(x, kernel, bias, *y);
    Product product{};
    product.rows = s.rows, product.inner = s.features, product.columns = s.units;
    product.a = x.typed_data(), product.a_row = s.features, product.a_column = 1;
    product.b = kernel.typed_data(), product.b_row = s.units, product.b_column = 1;
    product.c = y->typed_data(), product.c_row = s.units;
    product.bias = Optional(bias);
    Team team(pool);
    PartedProduct parted(product, team.threads());
    parted.Begin(static_cast<float*>(Memory(Scratch::kOfCall, parted.Floats() * sizeof(float))));
    team.Each(parted.parts(), [&](int64_t part) { parted.Run(part); });
    parted.End();
  });
}

ffi::Error Backward(ffi::ThreadPool pool, Array x, Array kernel, Array bias, Array by_y,
                    Result by_x, Result by_kernel, Result by_bias) {
  return Guarded([&] {
    const Sizes s = Check(x, kernel, bias, by_y);
    CheckLike(*by_x, x, true);
    CheckLike(*by_kernel, kernel, false);
    CheckLike(*by_bias, bias, false);
    Team team(pool);
    std::vector<PartedProduct> products;
    Product to_kernel{};
    to_kernel.rows = s.features, to_kernel.inner = s.rows, to_kernel.columns = s.units;
    to_kernel.a = x.typed_data(), to_kernel.a_row = 1, to_kernel.a_column = s.features;
    to_kernel.b = by_y.typed_data(), to_kernel.b_row = s.units, to_kernel.b_column = 1;
    to_kernel.c = by_kernel->typed_data(), to_kernel.c_row = s.units;
    to_kernel.sums = Optional(*by_bias);
    products.emplace_back(to_kernel, team.threads());
    if (Optional(*by_x)) {
      Product to_x{};
      to_x.rows = s.rows, to_x.inner = s.units, to_x.columns = s.features;
      to_x.a = by_y.typed_data(), to_x.a_row = s.units, to_x.a_column = 1;
      to_x.b = kernel.typed_data(), to_x.b_row = 1, to_x.b_column = s.units;
      to_x.c = by_x->typed_data(), to_x.c_row = s.features;
      products.emplace_back(to_x, team.threads());
    }
    int64_t floats = 0, parts = 0;
    for (const auto& product : products) floats += product.Floats(), parts += product.parts();
    auto* memory = static_cast<float*>(Memory(Scratch::kOfCall, floats * sizeof(float)));
    for (auto& product : products) product.Begin(memory), memory += product.Floats();
    team.Each(parts, [&](int64_t part) {
      auto product = products.begin();
      for (; part >= product->parts(); ++product) part -= product->parts();
      product->Run(part);
    });
    for (const auto& product : products) product.End();
  });
}

}  // namespace
}  // namespace plait

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_dense, plait::Forward,
                              plait::ffi::Ffi::Bind()
                                  .Ctx<plait::ffi::ThreadPool>()
                                  .Arg<plait::Array>()
                                  .Arg<plait::Array>()
                                  .Arg<plait::Array>()
                                  .Ret<plait::Array>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_dense_backward, plait::Backward,
                              plait::ffi::Ffi::Bind()
                                  .Ctx<plait::ffi::ThreadPool>()
                                  .Arg<plait::Array>()
                                  .Arg<plait::Array>()
                                  .Arg<plait::Array>()
                                  .Arg<plait::Array>()
                                  .Ret<plait::Array>()
                                  .Ret<plait::Array>()
                                  .Ret<plait::Array>());

#pragma GCC visibility pop
