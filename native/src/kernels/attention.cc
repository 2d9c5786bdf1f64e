#include "attention.h"

#include "product.h"

namespace plait::PLAIT_LEVEL {
namespace {

constexpr float kHidden = -1e9f;  // the score of what is not seen

// Copies rows, scaled, to where they are `width` apart, with 0 behind each and in those up to `high`.
void Pack(const float* from, int64_t from_row, int64_t rows, int64_t count, float scale, float* to,
          int64_t width, int64_t high) {
  for (int64_t row = 0; row < high; ++row)
    for (int64_t i = 0; i < width; i += kWidth) {
      Floats x{};
      if (row < rows && i < count) x = Load(from + row * from_row + i, count - i) * scale;
      Store(to + row * width + i, x);
    }
}

// The operands of AddProduct.
struct Factors {
  const float* a;
  int64_t a_row, a_step;
  const float* b;
  int64_t b_step, count;
};

// Calls body(row, column, vector) for the vectors of first(row, column) + a @ b in some columns.
template <int columns, typename First, typename Body>
inline void Tiles(int64_t rows, int64_t column, const Factors& of, First first, Body body) {
  constexpr int kHeight = columns == 4 ? kRows : columns == 2 && kWidth < 16 ? 6 : 12;
  static_assert(Attention::kBlock % kHeight == 0);
  for (int64_t row = 0; row < rows; row += kHeight) {
    Floats tile[kHeight][columns];
#pragma GCC unroll 16
    for (int i = 0; i < kHeight; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) tile[i][j] = first(row + i, column + j * kWidth);
    AddProduct<kHeight>(tile, of.a + row * of.a_row, of.a_row, of.a_step, of.b + column, of.b_step,
                        of.count);
#pragma GCC unroll 16
    for (int i = 0; i < kHeight; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) body(row + i, column + j * kWidth, tile[i][j]);
  }
}

// The same in all columns up to `width`, padded to whole vectors; rows are in whole blocks.
template <typename First, typename Body>
inline void Multiply(int64_t rows, int64_t width, const Factors& of, First first, Body body) {
  int64_t column = 0;
  for (; width - column > 3 * kWidth; column += 4 * kWidth)
    Tiles<4>(rows, column, of, first, body);
  if (width - column > kWidth) {
    Tiles<2>(rows, column, of, first, body);
    column += 2 * kWidth;
  }
  if (width > column) Tiles<1>(rows, column, of, first, body);
}

const auto kFromZero = [](int64_t, int64_t) { return Floats{}; };

Floats Larger(Floats a, Floats b) { return a > b ? a : b; }

Ints Seen(const uint8_t* mask, int64_t count) {
  typedef int8_t Bytes __attribute__((vector_size(kWidth), aligned(1), may_alias));
  if (count >= kWidth)
    return __builtin_convertvector(*reinterpret_cast<const Bytes*>(mask), Ints) != 0;
  Ints seen{};
  for (int64_t i = 0; i < count; ++i) seen[i] = -mask[i];
  return seen;
}

}  // namespace

void RunAttention(const AttentionForward& call) {
  const Attention& is = call.is;
  const int64_t row = is.Row(), values = is.Wide(is.values), channels = is.Wide(is.channels);
  float* k_columns = call.scratch;
  float* v = k_columns + is.channels * row;
  float* weights = v + is.keys * values;
  float* q = weights + is.kBlock * row;
  float* share = q + is.kBlock * channels;  // of 1 in each weight's sum
  PackColumns(is.k, is.k_row, is.keys, is.channels, k_columns, row);
  Pack(is.v, is.v_row, is.keys, is.values, 1, v, values, is.keys);
  for (int64_t begin = 0; begin < is.queries; begin += is.kBlock) {
    const int64_t count = Least(is.kBlock, is.queries - begin);
    Pack(is.q + begin * is.q_row, is.q_row, count, is.channels, is.scale, q, channels, is.kBlock);
    Multiply(is.kBlock, is.keys, {q, channels, 1, k_columns, row, is.channels}, kFromZero,
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
        largest = Larger(x, largest);
      }
      const float maximum = Fold(largest, Larger);
      Floats sums{};
      for (int64_t j = 0; j < is.keys; j += kWidth) {
        const Floats weight = ExpOfNegative(Load(scores + j) - maximum);
        Store(scores + j, weight);
        sums += weight;
      }
      const float sum = Sum(sums);
      share[i] = 1 / sum;
      if (call.moments) {
        call.moments[(begin + i) * 2] = maximum;
        call.moments[(begin + i) * 2 + 1] = sum;
      }
    }
    Multiply(is.kBlock, is.values, {weights, row, 1, v, values, is.keys}, kFromZero,
             [&](int64_t i, int64_t j, Floats sum) {
               if (i < count)
                 Store(call.output + (begin + i) * is.o_row + j, sum * share[i], is.values - j);
             });
  }
}

void RunAttentionBackward(const AttentionBackward& call) {
  const Attention& is = call.is;
  const int64_t row = is.Row(), values = is.Wide(is.values), channels = is.Wide(is.channels);
  const int64_t high = is.High(is.keys);
  float* k_columns = call.scratch;
  float* v_columns = k_columns + is.channels * row;
  float* k = v_columns + is.values * row;
  float* by_k = k + is.keys * channels;
  float* by_v = by_k + high * channels;
  float* q = by_v + high * values;
  float* by_output = q + is.kBlock * channels;
  float* weights = by_output + is.kBlock * values;
  float* by_scores = weights + is.kBlock * row;
  float* maximum = by_scores + is.kBlock * row;
  float* share = maximum + is.kBlock;
  float* mean = share + is.kBlock;  // of the gradients by weights, weighted
  PackColumns(is.k, is.k_row, is.keys, is.channels, k_columns, row);
  PackColumns(is.v, is.v_row, is.keys, is.values, v_columns, row);
  Pack(is.k, is.k_row, is.keys, is.channels, 1, k, channels, is.keys);
  for (int64_t i = 0; i < high * (channels + values); ++i) by_k[i] = 0;
  for (int64_t begin = 0; begin < is.queries; begin += is.kBlock) {
    const int64_t count = Least(is.kBlock, is.queries - begin);
    auto seen = [&](int64_t i, int64_t j) {
      return Seen(is.mask + (begin + i) * is.mask_row + j, is.keys - j);
    };
    Pack(is.q + begin * is.q_row, is.q_row, count, is.channels, is.scale, q, channels, is.kBlock);
    Pack(call.by_output + begin * is.o_row, is.o_row, count, is.values, 1, by_output, values,
         is.kBlock);
    for (int64_t i = 0; i < is.kBlock; ++i) maximum[i] = share[i] = mean[i] = 0;
    for (int64_t i = 0; i < count; ++i) {
      Floats sums{};
      for (int64_t j = 0; j < is.values; j += kWidth)
        sums += Load(by_output + i * values + j) *
                Load(call.output + (begin + i) * is.o_row + j, is.values - j);
      mean[i] = Sum(sums);
      maximum[i] = call.moments[(begin + i) * 2];
      share[i] = 1 / call.moments[(begin + i) * 2 + 1];
    }
    Multiply(is.kBlock, is.keys, {q, channels, 1, k_columns, row, is.channels}, kFromZero,
             [&](int64_t i, int64_t j, Floats scores) {
               if (is.mask && i < count) scores = seen(i, j) ? scores : All(kHidden);
               Store(weights + i * row + j, ExpOfNegative(scores - maximum[i]) * share[i]);
             });
    Multiply(is.kBlock, is.keys, {by_output, values, 1, v_columns, row, is.values}, kFromZero,
             [&](int64_t i, int64_t j, Floats by_weights) {
               Floats by_score = Load(weights + i * row + j) * (by_weights - mean[i]);
               if (is.mask && i < count) by_score = seen(i, j) ? by_score : Floats{};
               Store(by_scores + i * row + j, by_score);
             });
    auto add = [&](float* to, int64_t width, const float* from, const float* with) {
      Multiply(high, width, {from, 1, row, with, width, count},
              [&](int64_t i, int64_t j) { return Load(to + i * width + j); },
              [&](int64_t i, int64_t j, Floats sum) { Store(to + i * width + j, sum); });
    };
    add(by_v, values, weights, by_output);
    add(by_k, channels, by_scores, q);
    Multiply(is.kBlock, is.channels, {by_scores, row, 1, k, channels, is.keys}, kFromZero,
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
