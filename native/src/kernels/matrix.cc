// Panels of b, as wide as a tile, are packed for the cache, and each meets all tiles of a chunk of a.
#include "matrix.h"

#include "product.h"

namespace plait::PLAIT_LEVEL {
namespace {

constexpr int64_t kPanel = kColumns * kWidth;
static_assert(kPanel <= Product::kPanel);

int64_t Quotient(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Packs `inner` rows of a panel of b, of which `columns` are there.
void Pack(const Product& p, const float* b, int64_t inner, int64_t columns, float* to) {
  if (p.b_column == 1) {
    for (int64_t k = 0; k < inner; ++k, b += p.b_row, to += kPanel)
      for (int64_t j = 0; j < kPanel; j += kWidth) Store(to + j, Load(b + j, columns - j));
  } else {
    PackColumns(b, p.b_column, columns, inner, to, kPanel);
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

// The panel of b from `column` on, in `inner` rows from the first.
inline Coming PanelOf(const Product& p, int64_t first, int64_t inner, int64_t column) {
  const int64_t columns = Least(kPanel, p.columns - column);
  const float* at = p.b + first * p.b_row + column * p.b_column;
  if (p.b_row == 1) return {at, columns, inner, p.b_column, 0};
  return {at, inner, columns, p.b_row, 0};
}

// Some rows of a, in some columns.
struct Chunk {
  const float* at;
  int64_t rows, inner, row_step, column_step;
};

// Rows that are far apart would compete for few places of the cache; the copy has them side by side.
inline Chunk Copied(Chunk chunk, float* copy) {
  const bool across = chunk.row_step == 1;
  const int64_t lines = across ? chunk.inner : chunk.rows;
  const int64_t length = across ? chunk.rows : chunk.inner;
  const int64_t step = across ? chunk.column_step : chunk.row_step;
  const int64_t padded = Quotient(length, kWidth) * kWidth;
  for (int64_t i = 0; i < lines; ++i)
    for (int64_t j = 0; j < length; j += kWidth)
      Store(copy + i * padded + j, Load(chunk.at + i * step + j, length - j));
  chunk.at = copy;
  (across ? chunk.column_step : chunk.row_step) = padded;
  return chunk;
}

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

// Adds to the sums of columns; the first block begins them.
inline void AddSums(const float* b, int64_t b_row, int64_t inner, float* sums, int64_t columns,
                    bool begins) {
  const float one = 1;
  Floats tile[1][kColumns]{};
  if (!begins) LoadTile(tile, sums, 0, columns);
  AddProduct(tile, &one, 0, 0, b, b_row, inner);
  StoreTile(tile, sums, 0, columns);
}

// Adds the product of a chunk and a panel to c, which the first block begins with the bias.
inline void AddPanel(const Chunk& chunk, const float* b, int64_t b_row, const float* bias,
                     bool begins, float* c, int64_t c_row, int64_t columns, Coming coming) {
  constexpr int64_t kRun = 16;  // between two fetches
  ForTiles(chunk.rows, [&](int64_t row, auto height) {
    Floats tile[decltype(height)::kValue][kColumns]{};
    if (!begins)
      LoadTile(tile, c + row * c_row, c_row, columns);
    else if (bias)
      LoadTile(tile, bias, 0, columns);
    const float* a = chunk.at + row * chunk.row_step;
    for (int64_t k = 0; k < chunk.inner; k += kRun) {
      coming.Fetch();
      AddProduct(tile, a + k * chunk.column_step, chunk.row_step, chunk.column_step, b + k * b_row,
                 b_row, Least(kRun, chunk.inner - k));
    }
    StoreTile(tile, c + row * c_row, c_row, columns);
  });
}

}  // namespace

void RunProduct(const Product& call) {
  const Product p = call;
  float *const packed = p.scratch, *const copy = packed + Product::kInner * kPanel;
  const int64_t panels = Quotient(p.columns, kPanel);
  const int64_t blocks = Quotient(p.inner, Product::kInner);
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t first = p.inner * block / blocks;
    const int64_t inner = p.inner * (block + 1) / blocks - first;
    const int64_t width = Quotient(inner, kWidth) * kWidth;
    const int64_t chunks = Quotient(p.rows * width, Product::kChunk);
    for (int64_t index = 0; index < chunks; ++index) {
      const int64_t row = p.rows * index / chunks;
      Chunk chunk{p.a + row * p.a_row + first * p.a_column,
                  p.rows * (index + 1) / chunks - row,
                  inner,
                  p.a_row,
                  p.a_column};
      if (panels >= 4) chunk = Copied(chunk, copy);
      for (int64_t panel = 0; panel < panels; ++panel) {
        const int64_t column = panel * kPanel, columns = Least(kPanel, p.columns - column);
        const float* b = p.b + first * p.b_row + column * p.b_column;
        int64_t b_row = p.b_row;
        if (b_row != kPanel || columns < kPanel) {
          Pack(p, b, inner, columns, packed);
          b = packed, b_row = kPanel;
        }
        Coming coming{};
        if (panel + 1 < panels)
          coming = PanelOf(p, first, inner, column + kPanel);
        else if (index == chunks - 1 && block + 1 < blocks)
          coming = PanelOf(p, first + inner, inner, 0);
        if (p.sums && index == 0)
          AddSums(b, b_row, inner, p.sums + column, columns, block == 0);
        AddPanel(chunk, b, b_row, p.bias ? p.bias + column : nullptr, block == 0,
                 p.c + row * p.c_row + column, p.c_row, columns, coming);
      }
    }
  }
}

}  // namespace plait::PLAIT_LEVEL
