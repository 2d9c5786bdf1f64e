// Panels of b, as wide as a tile, are packed for the cache, and each meets all tiles of a chunk of a.
#include "matrix.h"

#include "product.h"

namespace plait::PLAIT_LEVEL {
namespace {

constexpr int64_t kPanel = kColumns * kWidth;
static_assert(kPanel <= Product::kPanel);

int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t Quotient(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Packs `inner` rows of a panel of b, of which `columns` are there.
void Pack(const Product& p, const float* b, int64_t inner, int64_t columns, float* to) {
  if (p.b_column == 1) {
    for (int64_t k = 0; k < inner; ++k, b += p.b_row, to += kPanel)
      for (int64_t j = 0; j < kPanel; j += kWidth) Store(to + j, Load(b + j, columns - j));
    return;
  }
  for (int64_t j = 0; j < kPanel; j += kWidth)
    for (int64_t k = 0; k < inner; k += kWidth) {
      Floats block[kWidth];
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i)
        block[i] = j + i < columns ? Load(b + (j + i) * p.b_column + k, inner - k) : Floats{};
      Transpose(block);
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i)
        if (k + i < inner) Store(to + (k + i) * kPanel + j, block[i]);
    }
}

// A panel that is packed next. Hardware does not foresee its lines, and to wait for them takes a
// fifth of the time; so they are asked for while others are computed, a few at a time.
struct Coming {
  const float* at;
  int64_t lines, length, step;  // so many lines of so many floats
  int64_t place;

  void Fetch() {
    if (lines == 0) return;
    for (int64_t j = 0; j < 64; j += 16) __builtin_prefetch(at + place + j, 0, 2);
    place += 64;
    if (place >= length) place = 0, at += step, --lines;
  }
};

template <int rows>
inline void LoadTile(Floats (&tile)[rows][kColumns], const float* from, int64_t row,
                     int64_t columns) {
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j)
      tile[i][j] = Load(from + i * row + j * kWidth, columns - j * kWidth);
}

template <int rows>
inline void StoreTile(const Floats (&tile)[rows][kColumns], float* to, int64_t row,
                      int64_t columns) {
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < kColumns; ++j)
      Store(to + i * row + j * kWidth, tile[i][j], columns - j * kWidth);
}

}  // namespace

void RunProduct(const Product& call) {
  constexpr int64_t kRun = 16;
  const Product p = call;
  float* const packed = p.scratch;
  float* const copy = packed + Product::kInner * kPanel;
  const bool across = p.a_row == 1, down = p.b_row == 1;
  const int64_t panels = Quotient(p.columns, kPanel);
  const int64_t blocks = Quotient(p.inner, Product::kInner);
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t first_inner = p.inner * block / blocks;
    const int64_t inner = p.inner * (block + 1) / blocks - first_inner;
    const int64_t width = Quotient(inner, kWidth) * kWidth;
    const int64_t chunks = Quotient(p.rows * width, Product::kChunk);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const int64_t first_row = p.rows * chunk / chunks;
      const int64_t rows = p.rows * (chunk + 1) / chunks - first_row;
      const float* a = p.a + first_row * p.a_row + first_inner * p.a_column;
      int64_t a_row = p.a_row, a_column = p.a_column;
      if (panels >= 4) {  // rows that are far apart would compete for few places of the cache
        const int64_t lines = across ? inner : rows, length = across ? rows : inner;
        const int64_t step = across ? a_column : a_row;
        const int64_t padded = Quotient(length, kWidth) * kWidth;
        for (int64_t i = 0; i < lines; ++i)
          for (int64_t j = 0; j < length; j += kWidth)
            Store(copy + i * padded + j, Load(a + i * step + j, length - j));
        a = copy;
        (across ? a_column : a_row) = padded;
      }
      for (int64_t panel = 0; panel < panels; ++panel) {
        const int64_t column = panel * kPanel, columns = Least(kPanel, p.columns - column);
        const float* b = p.b + first_inner * p.b_row + column * p.b_column;
        int64_t b_row = p.b_row;
        if (down || columns < kPanel || b_row != kPanel) {
          Pack(p, b, inner, columns, packed);
          b = packed, b_row = kPanel;
        }
        Coming coming{};
        if (panel + 1 < panels) {
          const int64_t next = column + kPanel, columns = Least(kPanel, p.columns - next);
          coming = {p.b + first_inner * p.b_row + next * p.b_column, down ? columns : inner,
                    down ? inner : columns, down ? p.b_column : p.b_row, 0};
        } else if (chunk == chunks - 1 && block + 1 < blocks) {
          const int64_t columns = Least(kPanel, p.columns);
          coming = {p.b + (first_inner + inner) * p.b_row, down ? columns : inner,
                    down ? inner : columns, down ? p.b_column : p.b_row, 0};
        }
        if (p.sums && chunk == 0) {
          const float one = 1;
          Floats tile[1][kColumns]{};
          if (block > 0) LoadTile(tile, p.sums + column, 0, columns);
          AddProduct(tile, &one, 0, 0, b, b_row, inner);
          StoreTile(tile, p.sums + column, 0, columns);
        }
        ForTiles(rows, [&](int64_t row, auto height) {
          Floats tile[decltype(height)::kValue][kColumns]{};
          float* c = p.c + (first_row + row) * p.c_row + column;
          if (block > 0)
            LoadTile(tile, c, p.c_row, columns);
          else if (p.bias)
            LoadTile(tile, p.bias + column, 0, columns);
          for (int64_t k = 0; k < inner; k += kRun) {
            coming.Fetch();
            AddProduct(tile, a + row * a_row + k * a_column, a_row, a_column, b + k * b_row, b_row,
                       Least(kRun, inner - k));
          }
          StoreTile(tile, c, p.c_row, columns);
        });
      }
    }
  }
}

}  // namespace plait::PLAIT_LEVEL
