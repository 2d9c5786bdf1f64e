// All that is transformed lies in 16 planes, one for each place in a tile of 4 x 4; a plane has
// blocks of kWidth channels, a block one vector for each tile. Products are taken plane by plane.
#include "winograd.h"

#include "vectors.h"

namespace plait::PLAIT_LEVEL {
namespace {

constexpr int kPlaces = 16;

// Tiles at once: what a plane's product keeps in registers, a few times over.
constexpr int kTiles = kWinogradTiles;
constexpr int kRows = kWidth == 16 ? 12 : 6;  // of two vectors
static_assert(kTiles % (2 * kRows) == 0);

constexpr int64_t kVectors = kTiles * kWidth;  // floats of a block


// A run of tiles side by side in one image, and which place they have among the tiles at once.
struct Run {
  int64_t image, row, column, count, place;
};

// Calls body(run) for all runs that make up `count` tiles from `first`.
template <typename Body>
inline void ForRuns(const WinogradShape& s, int64_t first, int64_t count, Body body) {
  const int64_t rows = (s.out_height + 1) / 2, columns = (s.out_width + 1) / 2;
  int64_t row = first / columns, column = first % columns;
  for (int64_t place = 0; place < count;) {
    const int64_t some = Least(columns - column, count - place);
    body(Run{row / rows, row % rows, column, some, place});
    place += some;
    ++row, column = 0;
  }
}

// Calls body(first, count) for all tiles, some at once.
template <typename Body>
inline void ForSomeTiles(const WinogradShape& s, Body body) {
  const int64_t total = s.batch * ((s.out_height + 1) / 2) * ((s.out_width + 1) / 2);
  for (int64_t first = 0; first < total; first += kTiles)
    body(first, Least(kTiles, total - first));
}

// Tiles of 4 x 4 of the input, B' d B.
inline void SpreadInput(const WinogradShape& s, const float* x, const Run& run, float* planes) {
  const int64_t plane = WinogradPlane(s.channels);
  const int64_t top = 2 * run.row - s.top;
  const float* rows[4];
  for (int64_t i = 0; i < 4; ++i) {
    const bool there = top + i >= 0 && top + i < s.height;
    rows[i] = there ? x + (run.image * s.height + top + i) * s.width * s.channels : nullptr;
  }
  for (int64_t c = 0; c < s.channels; c += kWidth) {
    struct Column {
      Floats a, b, c, d;
    };
    auto column = [&](int64_t at) {
      Floats d[4] = {};
      if (at >= 0 && at < s.width)
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i)
          if (rows[i]) d[i] = Load(rows[i] + at * s.channels + c);
      return Column{d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]};
    };
    int64_t left = 2 * run.column - s.left;
    Column one = column(left), two = column(left + 1);
    float* to = planes + c * kTiles + run.place * kWidth;
    for (int64_t tile = 0; tile < run.count; ++tile, left += 2, to += kWidth) {
      const Column three = column(left + 2), four = column(left + 3);
      auto row = [&](int64_t i, Floats a, Floats b, Floats c, Floats d) {
        float* at = to + i * 4 * plane;
        Store(at, a - c);
        Store(at + plane, b + c);
        Store(at + 2 * plane, c - b);
        Store(at + 3 * plane, b - d);
      };
      row(0, one.a, two.a, three.a, four.a);
      row(1, one.b, two.b, three.b, four.b);
      row(2, one.c, two.c, three.c, four.c);
      row(3, one.d, two.d, three.d, four.d);
      one = three, two = four;
    }
  }
}

// Tiles of 2 x 2 of the output, A' m A. Adds to `check` what is not 0 if one of them is not finite.
inline void GatherOutput(const WinogradShape& s, const float* planes, const Run& run, float* y,
                         Floats& check) {
  const int64_t plane = WinogradPlane(s.filters), line = s.out_width * s.filters;
  const bool two = 2 * run.row + 1 < s.out_height;
  float* first = y + (run.image * s.out_height + 2 * run.row) * line + 2 * run.column * s.filters;
  for (int64_t k = 0; k < s.filters; k += kWidth) {
    const float* from = planes + k * kTiles + run.place * kWidth;
    float* to = first + k;
    for (int64_t tile = 0; tile < run.count; ++tile, from += kWidth, to += 2 * s.filters) {
      const bool wide = 2 * (run.column + tile) + 1 < s.out_width;
      Floats upper[4], lower[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const Floats a = Load(from + j * plane), b = Load(from + (4 + j) * plane),
                     c = Load(from + (8 + j) * plane), d = Load(from + (12 + j) * plane);
        upper[j] = a + b + c;
        lower[j] = b - c - d;
      }
      auto write = [&](float* to, const Floats(&m)[4]) {
        const Floats left = m[0] + m[1] + m[2], right = m[1] - m[2] - m[3];
        Store(to, left);
        check += left * 0.0f;
        if (wide) {
          Store(to + s.filters, right);
          check += right * 0.0f;
        }
      };
      write(to, upper);
      if (two) write(to + line, lower);
    }
  }
}

// Tiles of 2 x 2 of the gradient by the output, A g A'.
inline void SpreadOutput(const WinogradShape& s, const float* by_y, const Run& run,
                         float* planes) {
  const int64_t plane = WinogradPlane(s.filters), line = s.out_width * s.filters;
  const bool two = 2 * run.row + 1 < s.out_height;
  const float* first =
      by_y + (run.image * s.out_height + 2 * run.row) * line + 2 * run.column * s.filters;
  for (int64_t k = 0; k < s.filters; k += kWidth) {
    const float* from = first + k;
    float* to = planes + k * kTiles + run.place * kWidth;
    for (int64_t tile = 0; tile < run.count; ++tile, from += 2 * s.filters, to += kWidth) {
      const bool wide = 2 * (run.column + tile) + 1 < s.out_width;
      const Floats a = Load(from), b = wide ? Load(from + s.filters) : Floats{},
                   c = two ? Load(from + line) : Floats{},
                   d = two && wide ? Load(from + line + s.filters) : Floats{};
      auto row = [&](int64_t i, Floats left, Floats right) {
        float* at = to + i * 4 * plane;
        Store(at, left);
        Store(at + plane, left + right);
        Store(at + 2 * plane, left - right);
        Store(at + 3 * plane, -right);
      };
      row(0, a, b);
      row(1, a + c, b + d);
      row(2, a - c, b - d);
      row(3, -c, -d);
    }
  }
}

// One plane's product for some tiles: (tiles, channels) by (channels, columns * kWidth).
template <int rows, int columns>
inline void Multiply(const float* tiles, int64_t channels, const float* kernel, float* result) {
  Floats sums[rows][columns] = {};
  const int64_t step = channels * kWidth;
  for (int64_t c = 0; c < channels; c += kWidth, tiles += kVectors)
#pragma GCC unroll 4
    for (int lane = 0; lane < kWidth; ++lane, kernel += kWidth) {
      Floats factors[columns];
#pragma GCC unroll 2
      for (int j = 0; j < columns; ++j) factors[j] = Load(kernel + j * step);
#pragma GCC unroll 24
      for (int i = 0; i < rows; ++i) {
        const Floats tile = All(tiles[i * kWidth + lane]);
#pragma GCC unroll 2
        for (int j = 0; j < columns; ++j) sums[i][j] += tile * factors[j];
      }
    }
#pragma GCC unroll 24
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < columns; ++j) Store(result + j * kVectors + i * kWidth, sums[i][j]);
}

// Adds one plane's product over some tiles: (rows, tiles) by (tiles, columns * kWidth).
template <int rows, int columns>
inline void AddOverTiles(const float* input, const float* output, int64_t tiles, float* result,
                       int64_t step) {
  Floats sums[rows][columns];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < columns; ++j) sums[i][j] = Load(result + j * step + i * kWidth);
#pragma GCC unroll 2
  for (int64_t tile = 0; tile < tiles; ++tile, input += kWidth, output += kWidth) {
    Floats factors[columns];
#pragma GCC unroll 2
    for (int j = 0; j < columns; ++j) factors[j] = Load(output + j * kVectors);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Floats channel = All(input[i]);
#pragma GCC unroll 2
      for (int j = 0; j < columns; ++j) sums[i][j] += channel * factors[j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < columns; ++j) Store(result + j * step + i * kWidth, sums[i][j]);
}

bool IsZero(Floats check) {
  for (int lane = 0; lane < kWidth; ++lane)
    if (!(check[lane] == 0.0f)) return false;
  return true;
}

// A vector of filters of the kernel, or of the turned one.
inline Floats Tap(const WinogradKernel& k, int tap, int64_t channel, int64_t filter) {
  const int64_t numbers = k.channels * k.filters;
  if (!k.turned) return Load(k.kernel + tap * numbers + channel * k.filters + filter);
  const float* from = k.kernel + (8 - tap) * numbers + filter * k.channels + channel;
  Floats values{};
  for (int lane = 0; lane < kWidth; ++lane) values[lane] = from[lane * k.channels];
  return values;
}

}  // namespace

// G g G'
void RunWinogradKernel(const WinogradKernel& k) {
  const int64_t plane = k.channels * k.filters;
  for (int64_t filter = 0; filter < k.filters; filter += kWidth)
    for (int64_t channel = 0; channel < k.channels; ++channel) {
      Floats half[4][3];
      for (int j = 0; j < 3; ++j) {
        const Floats a = Tap(k, j, channel, filter), b = Tap(k, 3 + j, channel, filter),
                     c = Tap(k, 6 + j, channel, filter);
        half[0][j] = a;
        half[1][j] = (a + b + c) * 0.5f;
        half[2][j] = (a - b + c) * 0.5f;
        half[3][j] = c;
      }
      float* to = k.spread + (filter / kWidth * k.channels + channel) * kWidth;
      for (int i = 0; i < 4; ++i, to += 4 * plane) {
        const Floats a = half[i][0], b = half[i][1], c = half[i][2];
        Store(to, a);
        Store(to + plane, (a + b + c) * 0.5f);
        Store(to + 2 * plane, (a - b + c) * 0.5f);
        Store(to + 3 * plane, c);
      }
    }
}

void RunWinogradForward(const WinogradForward& call) {
  const WinogradShape& s = call.shape;
  const int64_t of_input = WinogradPlane(s.channels), of_output = WinogradPlane(s.filters);
  float *input = call.scratch, *output = input + kPlaces * of_input;
  Floats check{};
  ForSomeTiles(s, [&](int64_t first, int64_t count) {
    ForRuns(s, first, count, [&](const Run& run) { SpreadInput(s, call.x, run, input); });
    for (int64_t place = 0; place < kPlaces; ++place) {
      const float* tiles = input + place * of_input;
      const float* kernel = call.spread + place * s.channels * s.filters;
      float* result = output + place * of_output;
      if (s.filters % (2 * kWidth) == 0) {
        for (int64_t k = 0; k < s.filters; k += 2 * kWidth)
          for (int64_t tile = 0; tile < count; tile += kRows)
            Multiply<kRows, 2>(tiles + tile * kWidth, s.channels, kernel + k * s.channels,
                               result + k * kTiles + tile * kWidth);
      } else {
        for (int64_t k = 0; k < s.filters; k += kWidth)
          for (int64_t tile = 0; tile < count; tile += 2 * kRows)
            Multiply<2 * kRows, 1>(tiles + tile * kWidth, s.channels, kernel + k * s.channels,
                                   result + k * kTiles + tile * kWidth);
      }
    }
    ForRuns(s, first, count, [&](const Run& run) { GatherOutput(s, output, run, call.y, check); });
  });
  *call.finite = IsZero(check);
}

// G' (sum of planes) G
void RunWinogradGradient(const WinogradGradient& call) {
  const WinogradShape& s = call.shape;
  const int64_t of_input = WinogradPlane(s.channels), of_output = WinogradPlane(s.filters);
  const int64_t plane = s.channels * s.filters;
  float *input = call.scratch, *output = input + kPlaces * of_input,
        *sums = output + kPlaces * of_output;
  for (int64_t i = 0; i < kPlaces * plane; ++i) sums[i] = 0;
  ForSomeTiles(s, [&](int64_t first, int64_t count) {
    ForRuns(s, first, count, [&](const Run& run) {
      SpreadInput(s, call.x, run, input);
      SpreadOutput(s, call.by_y, run, output);
    });
    for (int64_t place = 0; place < kPlaces; ++place) {
      const float *channels = input + place * of_input, *filters = output + place * of_output;
      float* result = sums + place * plane;
      if (s.filters % (2 * kWidth) == 0) {
        for (int64_t k = 0; k < s.filters; k += 2 * kWidth)
          for (int64_t c = 0; c < s.channels; c += kWidth / 2)
            AddOverTiles<kWidth / 2, 2>(channels + c / kWidth * kVectors + c % kWidth,
                                      filters + k * kTiles, count,
                                      result + k * s.channels + c * kWidth, s.channels * kWidth);
      } else {
        for (int64_t k = 0; k < s.filters; k += kWidth)
          for (int64_t c = 0; c < s.channels; c += kWidth)
            AddOverTiles<kWidth, 1>(channels + c * kTiles, filters + k * kTiles, count,
                                  result + k * s.channels + c * kWidth, 0);
      }
    }
  });
  Floats check{};
  for (int64_t filter = 0; filter < s.filters; filter += kWidth)
    for (int64_t channel = 0; channel < s.channels; ++channel) {
      const float* from = sums + (filter / kWidth * s.channels + channel) * kWidth;
      Floats half[3][4];
      for (int j = 0; j < 4; ++j, from += plane) {
        const Floats a = Load(from), b = Load(from + 4 * plane) * 0.5f,
                     c = Load(from + 8 * plane) * 0.5f, d = Load(from + 12 * plane);
        half[0][j] = a + b + c;
        half[1][j] = b - c;
        half[2][j] = b + c + d;
      }
      float* to = call.by_kernel + channel * s.filters + filter;
      for (int i = 0; i < 3; ++i, to += 3 * plane) {
        const Floats a = half[i][0], b = half[i][1] * 0.5f, c = half[i][2] * 0.5f, d = half[i][3];
        const Floats taps[3] = {a + b + c, b - c, b + c + d};
        for (int j = 0; j < 3; ++j) {
          Store(to + j * plane, taps[j]);
          check += taps[j] * 0.0f;
        }
      }
    }
  *call.finite = IsZero(check);
}

}  // namespace plait::PLAIT_LEVEL
