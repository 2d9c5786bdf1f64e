// Products of small matrices that stay in registers.
#pragma once

#include "vectors.h"

namespace plait::PLAIT_LEVEL {

// A tile is up to kRows rows of kColumns vectors; it leaves registers for the operands.
constexpr int kColumns = 4;
constexpr int kRows = kWidth == 16 ? 6 : 3;

// Adds a @ b to a tile. a[row][k] is at row * a_row + k * a_step, b[k] has the tile's vectors at
// k * b_step. The vectors in column `without` are left as they are.
template <int rows, int without = -1, int columns>
inline void AddProduct(Floats (&tile)[rows][columns], const float* a, int64_t a_row,
                       int64_t a_step, const float* b, int64_t b_step, int64_t count) {
  for (int64_t k = 0; k < count; ++k, a += a_step, b += b_step) {
    Floats row[columns];
#pragma GCC unroll 8
    for (int j = 0; j < columns; ++j) row[j] = Load(b + j * kWidth);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Floats factor = All(a[i * a_row]);
#pragma GCC unroll 8
      for (int j = 0; j < columns; ++j)
        if (j != without) tile[i][j] += factor * row[j];
    }
  }
}

// Packs columns as rows: `count` rows of `to`, `width` apart, each of whole vectors.
inline void PackColumns(const float* from, int64_t from_row, int64_t rows, int64_t count, float* to,
                        int64_t width) {
  for (int64_t row = 0; row < rows; row += kWidth)
    for (int64_t i = 0; i < count; i += kWidth) {
      Floats square[kWidth];
#pragma GCC unroll 16
      for (int r = 0; r < kWidth; ++r)
        square[r] = row + r < rows ? Load(from + (row + r) * from_row + i, count - i) : Floats{};
      Transpose(square);
#pragma GCC unroll 16
      for (int c = 0; c < kWidth; ++c)
        if (i + c < count) Store(to + (i + c) * width + row, square[c]);
    }
}

template <int value>
struct Count {
  static constexpr int kValue = value;
};

// Calls body(first, Count<rows>) for tiles of nearly equal height that make up `total` rows.
template <typename Body>
inline void ForTiles(int64_t total, Body body) {
  const int64_t tiles = (total + kRows - 1) / kRows;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t first = total * tile / tiles;
    switch (total * (tile + 1) / tiles - first) {
      case 1: body(first, Count<1>()); break;
      case 2: body(first, Count<2>()); break;
      case 3: body(first, Count<3>()); break;
      case 4: if constexpr (kRows > 3) body(first, Count<4>()); break;
      case 5: if constexpr (kRows > 3) body(first, Count<5>()); break;
      case 6: if constexpr (kRows > 3) body(first, Count<6>()); break;
    }
  }
}

}  // namespace plait::PLAIT_LEVEL
