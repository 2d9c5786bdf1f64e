// Handlers of the normalization of rows (layer normalization).
//
// Threads share the rows. The gradients by scale and shift are summed for each part of the rows and
// then over the parts, in their order: results do not depend on who computed what.

#include "kernels/normalization.h"

#include <algorithm>

#include "operands.h"

namespace plait {
namespace {

// About as many numbers in each part as there are in a core's cache.
int64_t RowsOfPart(int64_t features) { return std::max<int64_t>((1 << 15) / features, 1); }

int64_t Parts(int64_t rows, int64_t features) {
  const int64_t each = RowsOfPart(features);
  return (rows + each - 1) / each;
}

Dims TwoAxes(Array& x) {
  if (x.dimensions().size() != 2) throw Refused("inputs have two axes.");
  return DimsOf(x);
}

ffi::Error Forward(ffi::ThreadPool pool, Array x, Array scale, Array shift, Result y,
                   Result moments, float epsilon) {
  return Guarded("normalization", [&] {
    const Dims sizes = TwoAxes(x);
    const int64_t rows = sizes[0], features = sizes[1];
    Normalization all{};
    all.features = features, all.epsilon = epsilon;
    all.x = Data(x, sizes, "the input");
    all.scale = Optional(scale, {features}, "the scale");
    all.shift = Optional(shift, {features}, "the shift");
    all.y = Data(*y, sizes, "the output");
    all.moments = Optional(*moments, {rows, 2}, "the moments");
    Team team(pool);
    team.Each(Parts(rows, features), [&](int64_t part) {
      Normalization call = all;
      const int64_t first = part * RowsOfPart(features);
      call.rows = std::min(RowsOfPart(features), rows - first);
      call.x += first * features, call.y += first * features;
      if (call.moments) call.moments += first * 2;
      RunNormalization(call);
    });
  });
}

ffi::Error Backward(ffi::ThreadPool pool, Array x, Array scale, Array, Array moments,
                    Array by_y, Result by_x, Result by_scale, Result by_shift, float) {
  return Guarded("normalization", [&] {
    const Dims sizes = TwoAxes(x);
    const int64_t rows = sizes[0], features = sizes[1];
    NormalizationBackward all{};
    all.features = features;
    all.x = Data(x, sizes, "the input");
    all.scale = Optional(scale, {features}, "the scale");
    all.moments = Data(moments, {rows, 2}, "the moments");
    all.by_y = Data(by_y, sizes, "the gradient by the output");
    all.by_x = Data(*by_x, sizes, "the gradient by the input");
    float* sums[] = {Optional(*by_scale, {features}, "the gradient by the scale"),
                     Optional(*by_shift, {features}, "the gradient by the shift")};
    const int64_t parts = Parts(rows, features);
    float* partial = static_cast<float*>(
        Memory(Scratch::kOfCall, 2 * (parts - 1) * features * sizeof(float)));
    auto own = [&](int which, int64_t part) {
      return part == 0 ? sums[which] : partial + (2 * (part - 1) + which) * features;
    };
    Team team(pool);
    team.Each(parts, [&](int64_t part) {
      NormalizationBackward call = all;
      const int64_t first = part * RowsOfPart(features);
      call.rows = std::min(RowsOfPart(features), rows - first);
      call.x += first * features, call.by_y += first * features, call.by_x += first * features;
      call.moments += first * 2;
      for (int which : {0, 1})
        if (sums[which]) std::fill_n(own(which, part), features, 0.0f);
      if (sums[0]) call.by_scale = own(0, part);
      if (sums[1]) call.by_shift = own(1, part);
      RunNormalizationBackward(call);
    });
    for (int which : {0, 1})
      if (sums[which])
        team.AddUp(sums[which], features, parts, [&](int64_t part) { return own(which, part); });
  });
}

}  // namespace
}  // namespace plait

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_normalization, plait::Forward,
                              plait::Binding(plait::Forward, "epsilon"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(plait_onednn_normalization_backward, plait::Backward,
                              plait::Binding(plait::Backward, "epsilon"));

#pragma GCC visibility pop
