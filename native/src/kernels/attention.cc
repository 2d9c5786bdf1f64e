#include "attention.h"

#include "product.h"

namespace plait::PLAIT_LEVEL {
namespace {

constexpr float kHidden = -1e9f;  // the score of what is not seen

int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }

// Copies rows to where they are `width` apart, with 0 behind each and in the rows up to `high`.
void Pack(const float* from, int64_t from_row, int64_t rows, int64_t count, float scale, float* to,
          int64_t width, int64_t high) {
  for (int64_t row = 0; row < high; ++row, to += width)
    for (int64_t i = 0; i < width; ++i)
      to[i] = row < rows && i < count ? scale * from[row * from_row + i] : 0;
}

// Rows become columns of `to`, whose rows are `width` apart.
void PackColumns(const float* from, int64_t from_row, int64_t rows, int64_t count, float* to,
                 int64_t width) {
  for (int64_t i = 0; i < count; ++i, to += width)
    for (int64_t row = 0; row < width; ++row) to[row] = row < rows ? from[row * from_row + i] : 0;
}

// Calls body(row, column, tile) for the tiles that make up a @ b, which has `rows` rows, a multiple
// of kTile, and `vectors` vectors in each. `first` gives what they are added to, by row and column.
template <int columns, typename First, typename Body>
inline void Tiles(int64_t rows, int64_t column, const float* a, int64_t a_row, int64_t a_step,
                  const float* b, int64_t b_step, int64_t count, First first, Body body) {
  constexpr int kHeight = columns == 4 ? kRows : kWidth == 16 || columns == 1 ? 12 : 6;
  for (int64_t row = 0; row < rows; row += kHeight) {
    Floats tile[kHeight][columns];
#pragma GCC unroll 16
    for (int i = 0; i < kHeight; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) tile[i][j] = first(row + i, column + j * kWidth);
    AddProduct<kHeight>(tile, a + row * a_row, a_row, a_step, b + column, b_step, count);
#pragma GCC unroll 16
    for (int i = 0; i < kHeight; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) body(row + i, column + j * kWidth, tile[i][j]);
  }
}

template <typename First, typename Body>
inline void Product(int64_t rows, int64_t width, const float* a, int64_t a_row, int64_t a_step,
                    const float* b, int64_t b_step, int64_t count, First first, Body body) {
  const int64_t vectors = (width + kWidth - 1) / kWidth;
  int64_t done = 0;
  for (; done + 4 <= vectors; done += 4)
    Tiles<4>(rows, done * kWidth, a, a_row, a_step, b, b_step, count, first, body);
  if (done + 2 <= vectors) {
    Tiles<2>(rows, done * kWidth, a, a_row, a_step, b, b_step, count, first, body);
    done += 2;
  }
  if (done < vectors)
    Tiles<1>(rows, done * kWidth, a, a_row, a_step, b, b_step, count, first, body);
}

const auto kNothing = [](int64_t, int64_t) { return Floats{}; };

float Largest(Floats x) {
  float largest = x[0];
  for (int i = 1; i < kWidth; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

float Sum(Floats x) {
  float sum = 0;
  for (int i = 0; i < kWidth; ++i) sum += x[i];
  return sum;
}

// All lanes before `count`.
Ints Before(int64_t count) {
  Ints lanes;
  for (int i = 0; i < kWidth; ++i) lanes[i] = i;
  return lanes < static_cast<int32_t>(count);
}

Ints Seen(const uint8_t* mask, int64_t count) {
  Ints seen{};
  for (int64_t i = 0; i < Least(count, kWidth); ++i) seen[i] = -mask[i];
  return seen;
}

}  // namespace

void RunAttention(const AttentionForward& call) {
  const Attention& is = call.is;
  const int64_t row = is.Row(), values = is.Wide(is.values), channels = is.channels;
  float* keys = call.scratch;
  float* v = keys + channels * row;
  float* weights = v + is.keys * values;
  float* q = weights + is.kBlock * row;
  float* share = q + is.kBlock * channels;
  PackColumns(is.k, is.k_row, is.keys, channels, keys, row);
  Pack(is.v, is.v_row, is.keys, is.values, 1, v, values, is.keys);
  for (int64_t begin = 0; begin < is.queries; begin += is.kBlock) {
    const int64_t count = Least(is.kBlock, is.queries - begin), high = is.High(count);
    Pack(is.q + begin * is.q_row, is.q_row, count, channels, is.scale, q, channels, high);
    Product(high, is.keys, q, channels, 1, keys, row, channels, kNothing,
            [&](int64_t i, int64_t j, Floats scores) { Store(weights + i * row + j, scores); });
    for (int64_t i = 0; i < count; ++i) {
      float* scores = weights + i * row;
      Floats largest = All(-__builtin_inff());
      for (int64_t j = 0; j < is.keys; j += kWidth) {
        Floats x = Load(scores + j);
        if (is.mask) {
          x = Seen(is.mask + (begin + i) * is.mask_row + j, is.keys - j) ? x : All(kHidden);
        }
        if (is.keys - j < kWidth) x = Before(is.keys - j) ? x : All(-__builtin_inff());
        Store(scores + j, x);
        largest = x > largest ? x : largest;
      }
      const float maximum = Largest(largest);
      Floats sums{};
      for (int64_t j = 0; j < is.keys; j += kWidth) {
        const Floats weight = Exp(Load(scores + j) - maximum);
        Store(scores + j, weight);
        sums += is.keys - j < kWidth ? (Before(is.keys - j) ? weight : Floats{}) : weight;
      }
      const float sum = Sum(sums);
      share[i] = 1 / sum;
      if (call.moments) {
        call.moments[(begin + i) * 2] = maximum;
        call.moments[(begin + i) * 2 + 1] = sum;
      }
    }
    Product(high, is.values, weights, row, 1, v, values, is.keys, kNothing,
            [&](int64_t i, int64_t j, Floats sum) {
              if (i < count)
                Store(call.output + (begin + i) * is.o_row + j, sum * share[i], is.values - j);
            });
  }
}

void RunAttentionBackward(const AttentionBackward& call) {
  const Attention& is = call.is;
  const int64_t row = is.Row(), values = is.Wide(is.values), channels = is.Wide(is.channels);
  const int64_t high_keys = is.High(is.keys);
  float* k_columns = call.scratch;
  float* v_columns = k_columns + is.channels * row;
  float* k = v_columns + is.values * row;
  float* by_k = k + is.keys * channels;
  float* by_v = by_k + high_keys * channels;
  float* q = by_v + high_keys * values;
  float* by_output = q + is.kBlock * channels;
  float* weights = by_output + is.kBlock * values;
  float* by_scores = weights + is.kBlock * row;
  float* mean = by_scores + is.kBlock * row;  // of the gradients by weights, weighted
  PackColumns(is.k, is.k_row, is.keys, is.channels, k_columns, row);
  PackColumns(is.v, is.v_row, is.keys, is.values, v_columns, row);
  Pack(is.k, is.k_row, is.keys, is.channels, 1, k, channels, is.keys);
  for (int64_t i = 0; i < high_keys * (channels + values); ++i) by_k[i] = 0;
  for (int64_t begin = 0; begin < is.queries; begin += is.kBlock) {
    const int64_t count = Least(is.kBlock, is.queries - begin), high = is.High(count);
    const float* moments = call.moments + begin * 2;
    auto seen = [&](int64_t i, int64_t j) {
      return Seen(is.mask + (begin + i) * is.mask_row + j, is.keys - j);
    };
    Pack(is.q + begin * is.q_row, is.q_row, count, is.channels, is.scale, q, channels, high);
    Pack(call.by_output + begin * is.o_row, is.o_row, count, is.values, 1, by_output, values, high);
    for (int64_t i = 0; i < count; ++i) {
      Floats sums{};
      for (int64_t j = 0; j < is.values; j += kWidth)
        sums += Load(by_output + i * values + j) *
                Load(call.output + (begin + i) * is.o_row + j, is.values - j);
      mean[i] = Sum(sums);
    }
    Product(high, is.keys, q, channels, 1, k_columns, row, is.channels, kNothing,
            [&](int64_t i, int64_t j, Floats scores) {
              if (i >= count) return;
              if (is.mask) scores = seen(i, j) ? scores : All(kHidden);
              Store(weights + i * row + j,
                    Exp(scores - moments[i * 2]) * (1 / moments[i * 2 + 1]));
            });
    Product(high, is.keys, by_output, values, 1, v_columns, row, is.values, kNothing,
            [&](int64_t i, int64_t j, Floats by_weights) {
              if (i >= count) return;
              Floats by_score = Load(weights + i * row + j) * (by_weights - mean[i]);
              if (is.mask) by_score = seen(i, j) ? by_score : Floats{};
              Store(by_scores + i * row + j, by_score);
            });
    auto add = [&](float* to, int64_t width, const float* from, const float* with) {
      Product(high_keys, width, from, 1, row, with, width, count,
              [&](int64_t i, int64_t j) { return Load(to + i * width + j); },
              [&](int64_t i, int64_t j, Floats sum) { Store(to + i * width + j, sum); });
    };
    add(by_v, values, weights, by_output);
    add(by_k, channels, by_scores, q);
    Product(high, is.channels, by_scores, row, 1, k, channels, is.keys, kNothing,
            [&](int64_t i, int64_t j, Floats sum) {
              if (i < count)
                Store(call.by_q + (begin + i) * is.q_row + j, sum * is.scale, is.channels - j);
            });
  }
  for (int64_t i = 0; i < is.keys; ++i) {
    for (int64_t j = 0; j < is.channels; j += kWidth)
      Store(call.by_k + i * is.k_row + j, Load(by_k + i * channels + j), is.channels - j);
    for (int64_t j = 0; j < is.values; j += kWidth)
      Store(call.by_v + i * is.v_row + j, Load(by_v + i * values + j), is.values - j);
  }
}

}  // namespace plait::PLAIT_LEVEL
