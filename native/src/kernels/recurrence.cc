// Both recurrences have four columns for every unit, side by side in vectors: an LSTM its gates
// i, f, g and o; a GRU z, r, what x and what h give to the candidate.
#include "recurrence.h"

#include "product.h"

namespace plait::PLAIT_LEVEL {
namespace {

constexpr int64_t kPanel = kColumns * kWidth;


// The gate of XLA's kernels whose weights stand in a column; -1: they are 0.
int FromX(const Recurrence& r, int column) { return r.gru && column == 3 ? -1 : column; }
int FromH(const Recurrence& r, int column) {
  if (!r.gru) return column;
  return column == 2 ? -1 : column == 3 ? 2 : column;
}

void Copy(const float* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[i];
}

// Where the column of a unit is among those of all units.
int64_t Place(int64_t unit, int column) {
  return unit / kWidth * kPanel + column * kWidth + unit % kWidth;
}

float Weight(const Recurrence& r, int64_t row, int64_t unit, int column) {
  const bool of_x = row < r.features;
  const int gate = of_x ? FromX(r, column) : FromH(r, column);
  if (gate < 0 || unit >= r.units) return 0;
  const float* weights = of_x ? r.kernel + row * r.Gates() * r.units
                              : r.recurrent + (row - r.features) * r.Gates() * r.units;
  return weights[gate * r.units + unit];
}

float Bias(const Recurrence& r, int64_t unit, int column) {
  if (!r.bias || unit >= r.units) return 0;
  const int x = FromX(r, column), h = FromH(r, column);
  float sum = x < 0 ? 0 : r.bias[x * r.units + unit];
  if (r.gru && h >= 0) sum += r.bias[(3 + h) * r.units + unit];
  return sum;
}

int64_t Blocks(const Recurrence& r) { return (r.units + kWidth - 1) / kWidth; }

struct Rows {
  const Recurrence& is;
  int64_t first, count;
  int64_t Time(int64_t step) const { return is.reverse ? is.steps - 1 - step : step; }
  // Where a row's step is in an array of `width`.
  int64_t At(int64_t row, int64_t time, int64_t width) const {
    return ((first + row) * is.steps + time) * width;
  }
  bool Kept(int64_t row, int64_t time) const {
    return !is.keep || is.keep[(first + row) * is.steps + time];
  }
};

void ForwardRows(const RecurrenceForward& call, const Rows& rows, const float* packed,
                 const float* bias, float* scratch) {
  const Recurrence& is = call.is;
  const int64_t units = is.units, inner = is.features + units, padded = is.Padded();
  float* now = scratch;  // x and h of each row
  float* next = now + rows.count * inner;
  float* c = next + rows.count * inner;
  for (int64_t row = 0; row < rows.count; ++row) {
    Copy(is.first_h + (rows.first + row) * units, now + row * inner + is.features, units);
    if (!is.gru) Copy(is.first_c + (rows.first + row) * units, c + row * padded, units);
  }
  for (int64_t step = 0; step < is.steps; ++step) {
    const int64_t time = rows.Time(step);
    for (int64_t row = 0; row < rows.count; ++row)
      Copy(is.x + rows.At(row, time, is.features), now + row * inner, is.features);
    for (int64_t block = 0; block < Blocks(is); ++block) {
      const int64_t unit = block * kWidth, size = Least(kWidth, units - unit);
      ForTiles(rows.count, [&](int64_t first, auto height) {
        constexpr int kHeight = decltype(height)::kValue;
        Floats tile[kHeight][kColumns];
        for (int i = 0; i < kHeight; ++i)
          for (int j = 0; j < kColumns; ++j) tile[i][j] = Load(bias + block * kPanel + j * kWidth);
        const float* a = now + first * inner;
        const float* b = packed + block * inner * kPanel;
        if (is.gru) {  // 0 times infinity is not 0, so that what has no weight is left out
          AddProduct<kHeight, 3>(tile, a, inner, 1, b, kPanel, is.features);
          AddProduct<kHeight, 2>(tile, a + is.features, inner, 1, b + is.features * kPanel, kPanel,
                                 units);
        } else {
          AddProduct<kHeight>(tile, a, inner, 1, b, kPanel, inner);
        }
        for (int i = 0; i < kHeight; ++i) {
          const int64_t row = first + i;
          const int64_t place = rows.At(row, time, units) + unit;
          float* gates = call.gates ? call.gates + rows.At(row, time, 4 * units) + unit : nullptr;
          const Floats old_h = Load(now + row * inner + is.features + unit, size);
          Floats h;
          if (is.gru) {
            const Floats z = Sigmoid(tile[i][0]), r = Sigmoid(tile[i][1]);
            const Floats g = Tanh(tile[i][2] + r * tile[i][3]);
            h = z * old_h + (1.0f - z) * g;
            if (gates) {
              Store(gates, z, size);
              Store(gates + units, r, size);
              Store(gates + 2 * units, g, size);
              Store(gates + 3 * units, tile[i][3], size);
            }
            if (!rows.Kept(row, time)) h = old_h;
          } else {
            const Floats in = Sigmoid(tile[i][0]), f = Sigmoid(tile[i][1]);
            const Floats g = Tanh(tile[i][2]), o = Sigmoid(tile[i][3]);
            const Floats old_c = Load(c + row * padded + unit, size);
            Floats new_c = f * old_c + in * g;
            h = o * Tanh(new_c);
            if (gates) {
              Store(gates, in, size);
              Store(gates + units, f, size);
              Store(gates + 2 * units, g, size);
              Store(gates + 3 * units, o, size);
            }
            if (!rows.Kept(row, time)) h = old_h, new_c = old_c;
            Store(c + row * padded + unit, new_c, size);
            if (call.c) Store(call.c + place, new_c, size);
          }
          Store(next + row * inner + is.features + unit, h, size);
          Store(call.h + place, h, size);
        }
      });
    }
    float* used = now;
    now = next;
    next = used;
  }
  for (int64_t row = 0; row < rows.count; ++row) {
    Copy(now + row * inner + is.features, call.last_h + (rows.first + row) * units, units);
    if (!is.gru) Copy(c + row * padded, call.last_c + (rows.first + row) * units, units);
  }
}

// Gradients by the four columns of one row and step; carries those by h and c to the step before.
void BackwardCell(const RecurrenceBackward& call, const Rows& rows, int64_t row, int64_t time,
                  const float* old_h, const float* old_c, float* by_h, float* by_c, float* by_z) {
  const Recurrence& is = call.is;
  const int64_t units = is.units;
  const float* gates = call.gates + rows.At(row, time, 4 * units);
  for (int64_t block = 0; block < Blocks(is); ++block, by_z += kPanel) {
    const int64_t unit = block * kWidth, size = Least(kWidth, units - unit);
    Floats d_h = Load(by_h + unit, size);
    if (call.by_h) d_h += Load(call.by_h + rows.At(row, time, units) + unit, size);
    if (!rows.Kept(row, time)) {
      Store(by_h + unit, d_h, size);
      for (int j = 0; j < kColumns; ++j) Store(by_z + j * kWidth, Floats{});
      continue;
    }
    const Floats a = Load(gates + unit, size), b = Load(gates + units + unit, size);
    const Floats g = Load(gates + 2 * units + unit, size);
    const Floats last = Load(gates + 3 * units + unit, size);
    if (is.gru) {
      const Floats by_g = d_h * (1.0f - a) * (1.0f - g * g);
      Store(by_z, d_h * (Load(old_h + unit, size) - g) * a * (1.0f - a));
      Store(by_z + kWidth, by_g * last * b * (1.0f - b));
      Store(by_z + 2 * kWidth, by_g);
      Store(by_z + 3 * kWidth, by_g * b);
      Store(by_h + unit, d_h * a, size);
    } else {
      const Floats squashed = Tanh(Load(call.c + rows.At(row, time, units) + unit, size));
      const Floats d_c = Load(by_c + unit, size) + d_h * last * (1.0f - squashed * squashed);
      Store(by_z, d_c * g * a * (1.0f - a));
      Store(by_z + kWidth, d_c * Load(old_c + unit, size) * b * (1.0f - b));
      Store(by_z + 2 * kWidth, d_c * a * (1.0f - g * g));
      Store(by_z + 3 * kWidth, d_h * squashed * last * (1.0f - last));
      Store(by_c + unit, d_c * b, size);
      Store(by_h + unit, Floats{}, size);
    }
  }
}

// `by_weights` is of kernel, recurrent kernel and bias, one row each, of this thread.
void BackwardRows(const RecurrenceBackward& call, const Rows& rows, const float* packed,
                  float* by_weights) {
  const Recurrence& is = call.is;
  const int64_t units = is.units, features = is.features, inner = features + units;
  const int64_t padded = is.Padded(), width = 4 * padded, columns = call.Columns();
  const int64_t panels = Blocks(is), used = panels * kPanel;
  float* by_z = by_weights + (inner + 1) * width;
  float* begun = by_z + rows.count * width;  // x and h that the step began with
  float* by_h = begun + rows.count * inner;  // and behind it, by x
  float* by_c = by_h + rows.count * columns;
  for (int64_t i = 0; i < (inner + 1) * width; ++i) by_weights[i] = 0;
  for (int64_t row = 0; row < rows.count; ++row) {
    const int64_t from = (rows.first + row) * units;
    for (int64_t i = 0; i < columns; ++i)
      by_h[row * columns + i] = i < units && call.by_last_h ? call.by_last_h[from + i] : 0;
    for (int64_t i = 0; i < padded; ++i)
      by_c[row * padded + i] = i < units && call.by_last_c ? call.by_last_c[from + i] : 0;
  }
  for (int64_t step = is.steps; step-- > 0;) {
    const int64_t time = rows.Time(step);
    for (int64_t row = 0; row < rows.count; ++row) {
      const int64_t from = (rows.first + row) * units;
      const int64_t before = step ? rows.At(row, rows.Time(step - 1), units) : 0;
      const float* old_h = step ? call.h + before : is.first_h + from;
      const float* old_c = is.gru ? nullptr : step ? call.c + before : is.first_c + from;
      Copy(is.x + rows.At(row, time, features), begun + row * inner, features);
      Copy(old_h, begun + row * inner + features, units);
      BackwardCell(call, rows, row, time, old_h, old_c, by_h + row * columns,
                   by_c + row * padded, by_z + row * width);
      float* by_bias = by_weights + inner * width;
      for (int64_t i = 0; i < used; i += kWidth)
        Store(by_bias + i, Load(by_bias + i) + Load(by_z + row * width + i));
      for (int64_t i = units; i < columns; ++i) by_h[row * columns + i] = 0;
    }
    auto add = [](auto height, float* to, int64_t to_row, const float* a, int64_t a_row,
                  int64_t a_step, const float* b, int64_t b_step, int64_t count) {
      constexpr int kHeight = decltype(height)::kValue;
      Floats tile[kHeight][kColumns];
      for (int i = 0; i < kHeight; ++i)
        for (int j = 0; j < kColumns; ++j) tile[i][j] = Load(to + i * to_row + j * kWidth);
      AddProduct<kHeight>(tile, a, a_row, a_step, b, b_step, count);
      for (int i = 0; i < kHeight; ++i)
        for (int j = 0; j < kColumns; ++j) Store(to + i * to_row + j * kWidth, tile[i][j]);
    };
    for (int64_t panel = 0; panel < panels; ++panel)
      ForTiles(inner, [&](int64_t first, auto height) {
        add(height, by_weights + first * width + panel * kPanel, width, begun + first, 1, inner,
            by_z + panel * kPanel, width, rows.count);
      });
    for (int64_t column = 0; column < columns; column += kPanel)
      ForTiles(rows.count, [&](int64_t first, auto height) {
        add(height, by_h + first * columns + column, columns, by_z + first * width, width, 1,
            packed + column * used, kPanel, used);
      });
    if (call.by_x)
      for (int64_t row = 0; row < rows.count; ++row)
        Copy(by_h + row * columns + units, call.by_x + rows.At(row, time, features), features);
  }
  for (int64_t row = 0; row < rows.count; ++row) {
    Copy(by_h + row * columns, call.by_first_h + (rows.first + row) * units, units);
    if (!is.gru) Copy(by_c + row * padded, call.by_first_c + (rows.first + row) * units, units);
  }
}

}  // namespace

void RunForward(const RecurrenceForward& call) {
  const Recurrence& is = call.is;
  const int64_t inner = is.features + is.units, width = 4 * is.Padded(), most = is.MostRows();
  float* packed = call.scratch;
  float* bias = packed + inner * width;
  float* rest = bias + width;
  is.sharing.Each(is.threads, [&](int64_t thread) {
    for (int64_t row = thread; row <= inner; row += is.threads)
      for (int64_t block = 0; block < Blocks(is); ++block)
        for (int column = 0; column < kColumns; ++column)
          for (int64_t lane = 0; lane < kWidth; ++lane) {
            const int64_t unit = block * kWidth + lane;
            if (row == inner)
              bias[Place(unit, column)] = Bias(is, unit, column);
            else
              packed[(block * inner + row) * kPanel + column * kWidth + lane] =
                  Weight(is, row, unit, column);
          }
  });
  is.sharing.Each(is.threads, [&](int64_t thread) {
    ForwardRows(call, {is, is.FirstOf(thread), is.RowsOf(thread)}, packed, bias,
                rest + thread * most * (2 * inner + is.Padded()));
  });
}

void RunBackward(const RecurrenceBackward& call) {
  const Recurrence& is = call.is;
  const int64_t features = is.features, units = is.units, inner = features + units;
  const int64_t width = 4 * is.Padded(), columns = call.Columns(), used = Blocks(is) * kPanel;
  const int64_t each = (inner + 1) * width +
                       is.MostRows() * (width + inner + columns + is.Padded());
  float* packed = call.scratch;
  float* rest = packed + width * columns;
  is.sharing.Each(is.threads, [&](int64_t thread) {
    for (int64_t column = thread; column < columns; column += is.threads) {
      // Columns are those of h, then those of x.
      const bool there = column < units + (call.by_x ? features : 0);
      const int64_t row = column < units ? features + column : column - units;
      float* to = packed + column / kPanel * kPanel * used + column % kPanel;
      for (int64_t block = 0; block < Blocks(is); ++block)
        for (int gate = 0; gate < kColumns; ++gate)
          for (int64_t lane = 0; lane < kWidth; ++lane) {
            const int64_t unit = block * kWidth + lane;
            to[Place(unit, gate) * kPanel] = there ? Weight(is, row, unit, gate) : 0;
          }
    }
  });
  is.sharing.Each(is.threads, [&](int64_t thread) {
    BackwardRows(call, {is, is.FirstOf(thread), is.RowsOf(thread)}, packed, rest + thread * each);
  });
  is.sharing.Each(is.threads, [&](int64_t thread) {
    for (int64_t row = thread; row <= inner; row += is.threads) {
      auto sum = [&](int64_t unit, int column) {
        float total = 0;
        for (int64_t part = 0; part < is.threads; ++part)
          total += rest[part * each + row * width + Place(unit, column)];
        return total;
      };
      for (int column = 0; column < kColumns; ++column) {
        const int x = FromX(is, column), h = FromH(is, column);
        for (int64_t unit = 0; unit < units; ++unit) {
          if (row == inner) {
            if (!call.by_bias) continue;
            if (x >= 0) call.by_bias[x * units + unit] = sum(unit, column);
            if (is.gru && h >= 0) call.by_bias[(3 + h) * units + unit] = sum(unit, column);
          } else if (row < features) {
            if (x >= 0) call.by_kernel[(row * is.Gates() + x) * units + unit] = sum(unit, column);
          } else if (h >= 0) {
            call.by_recurrent[((row - features) * is.Gates() + h) * units + unit] =
                sum(unit, column);
          }
        }
      }
    }
  });
}

}  // namespace plait::PLAIT_LEVEL
