// Products with a kernel, and their gradients: x @ kernel + bias.

#include <algorithm>

#include "kernels/matrix.h"
#include "operands.h"

namespace plait {
namespace {

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
      constexpr int64_t kMost = 1 << 22;  // numbers that are still to be added up
      count_ = std::min({count_, threads, 1 + kMost / ((product.rows + 1) * product.columns)});
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
        p.c = Own(part);
        if (p.sums) p.sums = p.c + p.rows * p.columns;
        p.bias = nullptr;
      }
    }
    p.scratch = static_cast<float*>(
        Memory(Scratch::kOfPart, Product::kScratchFloats * sizeof(float)));
    RunProduct(p);
  }

  // Adds up what parts of the inner axis gave.
  void End(Team& team) const {
    if (axis_ != kInner) return;
    const int64_t numbers = whole_.rows * whole_.columns;
    team.AddUp(whole_.c, numbers, count_, [&](int64_t part) { return Own(part); });
    if (whole_.sums)
      team.AddUp(whole_.sums, whole_.columns, count_,
                 [&](int64_t part) { return Own(part) + numbers; });
  }

 private:
  enum Axis { kRows, kColumns, kInner };

  // Where a part but the first has its product, and the sums after it.
  float* Own(int64_t part) const {
    return memory_ + (part - 1) * (whole_.rows + 1) * whole_.columns;
  }

  int64_t Panels() const { return (whole_.columns + Product::kPanel - 1) / Product::kPanel; }

  Product whole_;
  Axis axis_;
  int64_t count_;
  float* memory_ = nullptr;
};

void RunAll(std::vector<PartedProduct> products, Team& team) {
  int64_t floats = 0, parts = 0;
  for (const auto& product : products) floats += product.Floats(), parts += product.parts();
  auto* memory = static_cast<float*>(Memory(Scratch::kOfCall, floats * sizeof(float)));
  for (auto& product : products) product.Begin(memory), memory += product.Floats();
  team.Each(parts, [&](int64_t part) {
    auto product = products.begin();
    for (; part >= product->parts(); ++product) part -= product->parts();
    product->Run(part);
  });
  for (const auto& product : products) product.End(team);
}

struct Sizes {
  int64_t rows, features, units;
};

Sizes Read(const Array& x, const Array& kernel) {
  const Dims of_x = DimsOf(x), of_kernel = DimsOf(kernel);
  if (of_x.size() != 2 || of_kernel.size() != 2 || of_x[1] != of_kernel[0])
    throw Refused("the input does not fit the kernel.");
  return {of_x[0], of_x[1], of_kernel[1]};
}

ffi::Error Forward(ffi::ThreadPool pool, Array x, Array kernel, Array bias, Result y) {
  return Guarded("dense", [&] {
    const auto [rows, features, units] = Read(x, kernel);
    Product product{};
    product.rows = rows, product.inner = features, product.columns = units;
    product.a = x.typed_data(), product.a_row = features, product.a_column = 1;
    product.b = kernel.typed_data(), product.b_row = units, product.b_column = 1;
    product.c = Data(*y, {rows, units}, "the output"), product.c_row = units;
    product.bias = Optional(bias, {units}, "the bias");
    Team team(pool);
    RunAll({PartedProduct(product, team.threads())}, team);
  });
}

// Both gradients are independent, and shared out together.
ffi::Error Backward(ffi::ThreadPool pool, Array x, Array kernel, Array bias, Array by_y,
                    Result by_x, Result by_kernel, Result by_bias) {
  return Guarded("dense", [&] {
    const auto [rows, features, units] = Read(x, kernel);
    Optional(bias, {units}, "the bias");
    const float* of_y = Data(by_y, {rows, units}, "the gradient by the output");
    Team team(pool);
    std::vector<PartedProduct> products;
    Product to_kernel{};
    to_kernel.rows = features, to_kernel.inner = rows, to_kernel.columns = units;
    to_kernel.a = x.typed_data(), to_kernel.a_row = 1, to_kernel.a_column = features;
    to_kernel.b = of_y, to_kernel.b_row = units, to_kernel.b_column = 1;
    to_kernel.c = Data(*by_kernel, {features, units}, "the gradient by the kernel");
    to_kernel.c_row = units;
    to_kernel.sums = Optional(*by_bias, {units}, "the gradient by the bias");
    products.emplace_back(to_kernel, team.threads());
    if (float* to = Optional(*by_x, {rows, features}, "the gradient by the input")) {
      Product to_x{};
      to_x.rows = rows, to_x.inner = units, to_x.columns = features;
      to_x.a = of_y, to_x.a_row = units, to_x.a_column = 1;
      to_x.b = kernel.typed_data(), to_x.b_row = 1, to_x.b_column = units;
      to_x.c = to, to_x.c_row = features;
      products.emplace_back(to_x, team.threads());
    }
    RunAll(std::move(products), team);
  });
}

}  // namespace
}  // namespace plait

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_dense, plait::Forward, plait::Binding(plait::Forward));

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_dense_backward, plait::Backward,
                              plait::Binding(plait::Backward));

#pragma GCC visibility pop
