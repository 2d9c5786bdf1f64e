// Loops are over whole rows or, of few channels, over several rows at once, so that they fill
// vectors. Sums are kept in floats over a few rows, and in doubles over all.
#include "channels.h"

#include "vectors.h"

namespace plait::PLAIT_LEVEL {
namespace {

constexpr int64_t kMost = 4096;   // columns at once
constexpr int64_t kSlab = 1024;   // of many channels
constexpr int64_t kBlock = 128;   // rows that floats sum up


// Some columns of all rows: `repeats` rows of few channels side by side, or a part of many channels.
struct Columns {
  int64_t first, count, stride, repeats;
};

int64_t RepeatsOf(int64_t channels) {
  if (channels >= 256) return 1;
  int64_t common = 1;
  while (common < 16 && channels % (2 * common) == 0) common *= 2;
  const int64_t fill = 16 / common;
  return fill * ((63 + channels * fill) / (channels * fill));
}

// Calls `run` with columns, how many rows of them there are, and the elements left over.
template <typename Run>
void ForColumns(int64_t rows, int64_t channels, Run run) {
  const int64_t repeats = RepeatsOf(channels);
  if (repeats > 1 || channels <= kSlab) {
    run(Columns{0, channels * repeats, channels * repeats, repeats}, rows / repeats,
        rows % repeats * channels);
    return;
  }
  for (int64_t first = 0; first < channels; first += kSlab)
    run(Columns{first, Least(kSlab, channels - first), channels, 1}, rows, 0);
}

// Calls `one(at, count)` for every row of the columns, and for what is left over.
template <typename One>
void ForRows(const Columns& columns, int64_t rows, int64_t left, One one) {
  for (int64_t row = 0; row < rows; ++row)
    one(columns.first + row * columns.stride, columns.count);
  if (left) one(rows * columns.stride, left);
}

// Numbers of each channel, one for each column; `other` if there are none.
struct Spread {
  alignas(64) float values[kMost];
  Spread(const float* from, const Columns& columns, int64_t channels, float other) {
    const int64_t each = columns.count / columns.repeats;
    for (int64_t i = 0; i < columns.count; ++i)
      values[i] = from ? from[(columns.first + i % each) % channels] : other;
  }
};

// Adds up over all rows what `each(sums, at, column, count)` adds to sums, as many vectors as there are
// `to`: it looks at `count` elements from `at`, which stand in columns from `column`.
template <int kSums, typename Each>
void Sum(const Columns& columns, int64_t rows, int64_t left, double* const (&to)[kSums],
         Each each) {
  constexpr int kGroup = 4;  // vectors side by side, so that additions need not wait for each other
  const int64_t width = columns.count / columns.repeats;
  auto gather = [&](const Floats(&sums)[kSums], int64_t column) {
    for (int sum = 0; sum < kSums; ++sum)
      for (int lane = 0; lane < kWidth && column + lane < columns.count; ++lane)
        to[sum][columns.first + (column + lane) % width] += sums[sum][lane];
  };
  int64_t column = 0;
  for (; column + kGroup * kWidth <= columns.count; column += kGroup * kWidth)
    for (int64_t first = 0; first < rows; first += kBlock) {
      Floats sums[kGroup][kSums] = {};
      for (int64_t row = first; row < Least(first + kBlock, rows); ++row) {
        const int64_t at = columns.first + row * columns.stride + column;
        for (int vector = 0; vector < kGroup; ++vector)
          each(sums[vector], at + vector * kWidth, column + vector * kWidth, kWidth);
      }
      for (int vector = 0; vector < kGroup; ++vector)
        gather(sums[vector], column + vector * kWidth);
    }
  for (; column < columns.count; column += kWidth)
    for (int64_t first = 0; first < rows; first += kBlock) {
      Floats sums[kSums] = {};
      for (int64_t row = first; row < Least(first + kBlock, rows); ++row)
        each(sums, columns.first + row * columns.stride + column, column,
             Least(kWidth, columns.count - column));
      gather(sums, column);
    }
  for (column = 0; column < left; column += kWidth) {
    Floats sums[kSums] = {};
    each(sums, rows * columns.stride + column, column, Least(kWidth, left - column));
    gather(sums, column);
  }
}

}  // namespace

void RunMoments(const ChannelMoments& call) {
  const int64_t channels = call.channels;
  for (int64_t i = 0; i < channels; ++i) call.mean[i] = call.squares[i] = 0;
  ForColumns(call.rows, channels, [&](const Columns& columns, int64_t rows, int64_t left) {
    const float* x = call.x;
    Sum<1>(columns, rows, left, {call.mean},
           [=](Floats* sums, int64_t at, int64_t, int64_t count) { sums[0] += Load(x + at, count); });
    const int64_t width = columns.count / columns.repeats;
    for (int64_t i = columns.first; i < columns.first + width; ++i) call.mean[i] /= call.rows;
    alignas(64) float means[kMost];
    for (int64_t i = 0; i < columns.count; ++i) means[i] = call.mean[columns.first + i % width];
    Sum<1>(columns, rows, left, {call.squares},
           [=, &means](Floats* sums, int64_t at, int64_t column, int64_t count) {
             const Floats away = Load(x + at, count) - Load(means + column, count);
             sums[0] += away * away;
           });
    // Means are rounded to floats above; what that adds to the squares is taken off.
    for (int64_t i = columns.first; i < columns.first + width; ++i) {
      const double off = call.mean[i] - static_cast<float>(call.mean[i]);
      call.squares[i] -= call.rows * off * off;
    }
  });
}

void RunAffine(const ChannelAffine& call) {
  ForColumns(call.rows, call.channels, [&](const Columns& columns, int64_t rows, int64_t left) {
    const Spread scale(call.scale, columns, call.channels, 1.0f);
    const Spread shift(call.shift, columns, call.channels, 0.0f);
    auto run = [&](auto finish) {
      ForRows(columns, rows, left, [&](int64_t at, int64_t count) {
        const float* x = call.x + at;
        float* y = call.y + at;
#pragma GCC ivdep
        for (int64_t i = 0; i < count; ++i)
          y[i] = finish(x[i] * scale.values[i] + shift.values[i], at + i);
      });
    };
    const float* residual = call.residual;
    // NaN stays, as it does in XLA's maximum.
    auto relu = [](float value) { return value < 0.0f ? 0.0f : value; };
    if (residual && call.relu)
      run([=](float value, int64_t at) { return relu(value + residual[at]); });
    else if (residual)
      run([=](float value, int64_t at) { return value + residual[at]; });
    else if (call.relu)
      run([=](float value, int64_t) { return relu(value); });
    else
      run([](float value, int64_t) { return value; });
  });
}

void RunSums(const ChannelSums& call) {
  for (int64_t i = 0; i < call.channels; ++i) call.sum[i] = 0;
  if (call.x)
    for (int64_t i = 0; i < call.channels; ++i) call.product[i] = 0;
  ForColumns(call.rows, call.channels, [&](const Columns& columns, int64_t rows, int64_t left) {
    const Spread mean(call.mean, columns, call.channels, 0.0f);
    const float *by_y = call.by_y, *y = call.y, *x = call.x, *means = mean.values;
    float* masked = call.masked;
    auto gradient = [=](int64_t at, int64_t count) {
      const Floats value = Load(by_y + at, count);
      if (!y) return value;
      return Load(y + at, count) > 0.0f ? value : Floats{};
    };
    if (x)
      Sum<2>(columns, rows, left, {call.sum, call.product},
             [=](Floats* sums, int64_t at, int64_t column, int64_t count) {
               const Floats value = gradient(at, count);
               if (masked) Store(masked + at, value, count);
               sums[0] += value;
               sums[1] += value * (Load(x + at, count) - Load(means + column, count));
             });
    else
      Sum<1>(columns, rows, left, {call.sum},
             [=](Floats* sums, int64_t at, int64_t, int64_t count) {
               const Floats value = gradient(at, count);
               if (masked) Store(masked + at, value, count);
               sums[0] += value;
             });
  });
}

void RunGradient(const ChannelGradient& call) {
  ForColumns(call.rows, call.channels, [&](const Columns& columns, int64_t rows, int64_t left) {
    const Spread by(call.by, columns, call.channels, 1.0f);
    const Spread slope(call.slope, columns, call.channels, 0.0f);
    const Spread offset(call.offset, columns, call.channels, 0.0f);
    auto run = [&](auto gradient) {
      ForRows(columns, rows, left, [&](int64_t at, int64_t count) {
        const float* x = call.x + at;
        float* by_x = call.by_x + at;
#pragma GCC ivdep
        for (int64_t i = 0; i < count; ++i)
          by_x[i] = gradient(at + i) * by.values[i] + (x[i] * slope.values[i] + offset.values[i]);
      });
    };
    const float *by_y = call.by_y, *y = call.y;
    if (y)
      run([=](int64_t at) { return y[at] > 0.0f ? by_y[at] : 0.0f; });
    else
      run([=](int64_t at) { return by_y[at]; });
  });
}

}  // namespace plait::PLAIT_LEVEL
