#include "normalization.h"

#include "vectors.h"

namespace plait::PLAIT_LEVEL {
namespace {


// Lanes that are there are those before `count`.
Floats Only(int64_t count, Floats x) {
  if (count >= kWidth) return x;
  return Before(count) ? x : Floats{};
}

}  // namespace

void RunNormalization(const Normalization& call) {
  const int64_t features = call.features;
  for (int64_t row = 0; row < call.rows; ++row) {
    const float* x = call.x + row * features;
    Floats sum{};
    for (int64_t i = 0; i < features; i += kWidth) sum += Load(x + i, features - i);
    const float mean = Sum(sum) / features;
    Floats squares{};
    for (int64_t i = 0; i < features; i += kWidth) {
      const Floats away = Only(features - i, Load(x + i, features - i) - mean);
      squares += away * away;
    }
    const float inverse = 1 / __builtin_sqrtf(Sum(squares) / features + call.epsilon);
    for (int64_t i = 0; i < features; i += kWidth) {
      const int64_t count = features - i;
      Floats y = (Load(x + i, count) - mean) * inverse;
      if (call.scale) y *= Load(call.scale + i, count);
      if (call.shift) y += Load(call.shift + i, count);
      Store(call.y + row * features + i, y, count);
    }
    if (call.moments) {
      call.moments[row * 2] = mean;
      call.moments[row * 2 + 1] = inverse;
    }
  }
}

void RunNormalizationBackward(const NormalizationBackward& call) {
  const int64_t features = call.features;
  for (int64_t row = 0; row < call.rows; ++row) {
    const float* x = call.x + row * features;
    const float* by_y = call.by_y + row * features;
    const float mean = call.moments[row * 2], inverse = call.moments[row * 2 + 1];
    Floats sum{}, along{};
    for (int64_t i = 0; i < features; i += kWidth) {
      const int64_t count = features - i;
      const Floats z = (Load(x + i, count) - mean) * inverse;
      Floats by_z = Load(by_y + i, count);
      if (call.by_shift) Store(call.by_shift + i, Load(call.by_shift + i, count) + by_z, count);
      if (call.by_scale) Store(call.by_scale + i, Load(call.by_scale + i, count) + by_z * z, count);
      if (call.scale) by_z *= Load(call.scale + i, count);
      sum += by_z;
      along += Only(count, by_z * z);
    }
    const float all = Sum(sum) / features, slope = Sum(along) / features;
    for (int64_t i = 0; i < features; i += kWidth) {
      const int64_t count = features - i;
      const Floats z = (Load(x + i, count) - mean) * inverse;
      Floats by_z = Load(by_y + i, count);
      if (call.scale) by_z *= Load(call.scale + i, count);
      Store(call.by_x + row * features + i, (by_z - all - z * slope) * inverse, count);
    }
  }
}

}  // namespace plait::PLAIT_LEVEL
