// Panels of b, as wide as a tile, are packed for the cache, and each meets all tiles of a block of a.
#include "matrix.h"

#include "product.h"

namespace plait::PLAIT_LEVEL {
namespace {

constexpr int64_t kRun = 16;
constexpr int64_t kPanel = kColumns * kWidth;

int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }

// Interleaves runs of kRun lanes of two vectors: the lower or the upper half of what that gives.
template <int kRun>
inline void Exchange(Floats& a, Floats& b) {
  Ints low, high;
  for (int lane = 0; lane < kWidth; ++lane) {
    low[lane] = lane & kRun ? kWidth + (lane ^ kRun) : lane;
    high[lane] = lane & kRun ? kWidth + lane : (lane | kRun);
  }
  const Floats first = __builtin_shuffle(a, b, low);
  b = __builtin_shuffle(a, b, high);
  a = first;
}

template <int kRun>
inline void Transpose(Floats (&rows)[kWidth]) {
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i)
    if (!(i & kRun)) Exchange<kRun>(rows[i], rows[i | kRun]);
  if constexpr (kRun > 1) Transpose<kRun / 2>(rows);
}

// Packs `inner` rows of a panel of b, of which the last columns may not be there.
void Pack(const Product& p, const float* b, int64_t inner, int64_t columns, float* to) {
  if (p.b_column == 1) {
    for (int64_t k = 0; k < inner; ++k, b += p.b_row, to += kPanel)
      for (int64_t j = 0; j < kPanel; j += kWidth)
        Store(to + j, columns - j > 0 ? Load(b + j, columns - j) : Floats{});
    return;
  }
  for (int64_t j = 0; j < kPanel; j += kWidth)
    for (int64_t k = 0; k < inner; k += kWidth) {
      Floats block[kWidth];
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i)
        block[i] = j + i < columns ? Load(b + (j + i) * p.b_column + k, inner - k) : Floats{};
      Transpose<kWidth / 2>(block);
      const int64_t count = Least(inner - k, kWidth);
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i)
        if (i < count) Store(to + (k + i) * kPanel + j, block[i]);
    }
}

// A panel of b that is wanted soon; it comes to the cache line by line while others are computed.
struct Coming {
  const float* at;
  int64_t step, lines, length;  // in memory: lines of so many floats
  int64_t place;

  void Fetch() {
    if (lines == 0) return;
    for (int i = 0; i < 4; ++i) __builtin_prefetch(at + place + 16 * i, 0, 2);
    if ((place += 64) >= length) place = 0, --lines, at += step;
  }
};

}  // namespace

void RunProduct(const Product& call) {
  const Product p = call;
  float* const packed = p.scratch;
  float* const copy = packed + Product::kInner * 64;
  const int64_t blocks = (p.inner + Product::kInner - 1) / Product::kInner;
  const int64_t panels = (p.columns + kPanel - 1) / kPanel;
  const bool copies = panels >= 4, across = p.a_row == 1;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t first_inner = p.inner * block / blocks;
    const int64_t inner = p.inner * (block + 1) / blocks - first_inner;
    const bool first = block == 0, last = block == blocks - 1;
    const int64_t chunks = (p.rows * inner + Product::kPart - 1) / Product::kPart;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const int64_t first_row = p.rows * chunk / chunks;
      const int64_t rows = p.rows * (chunk + 1) / chunks - first_row;
      const float* a = p.a + first_row * p.a_row + first_inner * p.a_column;
      int64_t a_row = p.a_row, a_column = p.a_column;
      if (copies) {
        const int64_t lines = across ? inner : rows, length = across ? rows : inner;
        const int64_t from = across ? p.a_column : p.a_row, to = (length + kWidth - 1) / kWidth * kWidth;
        for (int64_t i = 0; i < lines; ++i)
          for (int64_t j = 0; j < length; j += kWidth)
            Store(copy + i * to + j, Load(a + i * from + j, length - j));
        a = copy;
        (across ? a_column : a_row) = to;
      }
      for (int64_t panel = 0; panel < panels; ++panel) {
        const int64_t column = panel * kPanel, columns = Least(kPanel, p.columns - column);
        const float* b = p.b + first_inner * p.b_row + column * p.b_column;
        int64_t b_row = p.b_row;
        if (p.b_column != 1 || columns < kPanel || b_row != kPanel) {
          Pack(p, b, inner, columns, packed);
          b = packed, b_row = kPanel;
        }
        Coming coming{};
        if (p.b_row == 1 || p.b_row > kPanel) {
          if (panel + 1 < panels) coming.at = p.b + first_inner * p.b_row + (column + kPanel) * p.b_column;
          else if (chunk + 1 < chunks) coming.at = p.b + first_inner * p.b_row;
          else if (!last) coming.at = p.b + (first_inner + inner) * p.b_row;
          if (coming.at) {
            coming.lines = p.b_row == 1 ? columns : inner, coming.length = p.b_row == 1 ? inner : columns;
            coming.step = p.b_row == 1 ? p.b_column : p.b_row;
          }
        }
        if (p.sums && chunk == 0) {
          const float one = 1;
          Floats tile[1][kColumns]{};
          if (!first)
            for (int j = 0; j < kColumns; ++j)
              if (columns > j * kWidth) tile[0][j] = Load(p.sums + column + j * kWidth, columns - j * kWidth);
          AddProduct(tile, &one, 0, 0, b, b_row, inner);
          for (int j = 0; j < kColumns; ++j)
            if (columns > j * kWidth) Store(p.sums + column + j * kWidth, tile[0][j], columns - j * kWidth);
        }
        ForTiles(rows, [&](int64_t row, auto height) {
          constexpr int kHeight = decltype(height)::kValue;
          Floats tile[kHeight][kColumns]{};
          float* c = p.c + (first_row + row) * p.c_row + column;
          if (!first || p.bias) {
            const float* from = first ? p.bias + column : c;
            const int64_t step = first ? 0 : p.c_row;
#pragma GCC unroll 8
            for (int i = 0; i < kHeight; ++i)
#pragma GCC unroll 8
              for (int j = 0; j < kColumns; ++j)
                if (columns > j * kWidth)
                  tile[i][j] = Load(from + i * step + j * kWidth, columns - j * kWidth);
          }
          for (int64_t k = 0; k < inner; k += kRun) {
            coming.Fetch();
            AddProduct(tile, a + row * a_row + k * a_column, a_row, a_column, b + k * b_row, b_row,
                       Least(kRun, inner - k));
          }
#pragma GCC unroll 8
          for (int i = 0; i < kHeight; ++i)
#pragma GCC unroll 8
            for (int j = 0; j < kColumns; ++j) {
              if (columns > j * kWidth) Store(c + i * p.c_row + j * kWidth, tile[i][j], columns - j * kWidth);
            }
        });
      }
    }
  }
}

}  // namespace plait::PLAIT_LEVEL
