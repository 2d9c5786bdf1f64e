#include "pooling.h"

#include <immintrin.h>

#include "vectors.h"

namespace plait::PLAIT_LEVEL {
namespace {

int64_t Most(int64_t a, int64_t b) { return a > b ? a : b; }

// What is read along one axis for one position that is written: positions from `first`, and the
// place of the first of them in its window.
struct Span {
  int64_t first, count, place;
  bool whole;  // none of the windows reaches into the padding
};

struct Axis {
  int64_t elements, windows, size, stride, before;
  bool backward;

  Axis(const Windows& is, int axis, bool backward)
      : elements(is.elements[axis]), windows(is.windows[axis]), size(is.size[axis]),
        stride(is.strides[axis]), before(is.before[axis]), backward(backward) {}

  int64_t Written() const { return backward ? elements : windows; }
  int64_t Read() const { return backward ? windows : elements; }
  int64_t Step() const { return backward ? -stride : 1; }  // between the places of a span

  // The elements of a window.
  Span Elements(int64_t window) const {
    const int64_t start = window * stride - before, first = Most(start, 0);
    const int64_t count = Least(start + size, elements) - first;
    return {first, count, first - start, count == size};
  }

  // The windows that an element is in.
  Span Around(int64_t element) const {
    const int64_t padded = element + before;
    const int64_t first = Most((padded - size + stride) / stride, 0);
    const int64_t last = Least(padded / stride, windows - 1);
    return {first, Most(last - first + 1, 0), padded - first * stride,
            first * stride >= before && last * stride - before + size <= elements};
  }

  Span At(int64_t written) const { return backward ? Around(written) : Elements(written); }

  // How many elements the mean is over, of the window that is written, or of the one that is read.
  int64_t Elements(int64_t written, int64_t read) const {
    return Elements(backward ? read : written).count;
  }
};

// One number that is read: where it is in its image, and its place in its window.
struct Tap {
  int64_t offset;
  int32_t place;
  float weight;  // in a mean
};

// N numbers side by side, and their places, which are bytes in memory. GCC 12 changes the width in
// many steps where it is not told which instruction does it.
template <int N>
struct Lanes {
  typedef float Floats __attribute__((vector_size(4 * N)));
  typedef int32_t Ints __attribute__((vector_size(4 * N)));
  typedef float Anywhere __attribute__((vector_size(4 * N), aligned(4), may_alias));

  static Floats Load(const float* from) { return *reinterpret_cast<const Anywhere*>(from); }
  static void Store(float* to, Floats values) { *reinterpret_cast<Anywhere*>(to) = values; }

  static Ints Load(const uint8_t* from) {
    if constexpr (N == 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
      return reinterpret_cast<Ints>(_mm512_maskz_cvtepu8_epi32(0xFFFF, bytes));
    } else if constexpr (N == 8) {
      return reinterpret_cast<Ints>(_mm256_cvtepu8_epi32(_mm_loadu_si64(from)));
    } else {
      return reinterpret_cast<Ints>(_mm_cvtepu8_epi32(_mm_loadu_si32(from)));
    }
  }

  static void Store(uint8_t* to, Ints values) {
    if constexpr (N == 16) {
      const __m128i bytes =
          _mm512_maskz_cvtepi32_epi8(0xFFFF, reinterpret_cast<__m512i>(values));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
    } else if constexpr (N == 8) {
      const __m256i wide = reinterpret_cast<__m256i>(values);
      const __m128i words =
          _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
      _mm_storeu_si64(to, _mm_packus_epi16(words, words));
    } else {
      const __m128i wide = reinterpret_cast<__m128i>(values);
      const __m128i words = _mm_packus_epi32(wide, wide);
      _mm_storeu_si32(to, _mm_packus_epi16(words, words));
    }
  }
};

template <>
struct Lanes<1> {
  using Floats = float;
  using Ints = int32_t;

  static float Load(const float* from) { return *from; }
  static int32_t Load(const uint8_t* from) { return *from; }
  static void Store(float* to, float value) { *to = value; }
  static void Store(uint8_t* to, int32_t value) { *to = static_cast<uint8_t>(value); }
};

// Each of these computes `kVectors` vectors at `to` from what the taps find from `from`.

template <bool kPlaces>
struct Largest {
  static constexpr bool kWeights = false;
  const float* x;
  float* y;
  uint8_t* places;

  template <int N, int kVectors>
  void Compute(int64_t from, int64_t to, const Tap* taps, int64_t count) const {
    using L = Lanes<N>;
    typename L::Floats best[kVectors];
    typename L::Ints place[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      best[v] = L::Load(x + from + taps[0].offset + v * N);
      place[v] = taps[0].place - typename L::Ints{};
    }
    for (int64_t i = 1; i < count; ++i)
      for (int v = 0; v < kVectors; ++v) {
        const typename L::Floats other = L::Load(x + from + taps[i].offset + v * N);
        const typename L::Ints better = (other > best[v]) | (other != other);
        best[v] = better ? other : best[v];
        if constexpr (kPlaces) place[v] = better ? taps[i].place - typename L::Ints{} : place[v];
      }
    for (int v = 0; v < kVectors; ++v) {
      L::Store(y + to + v * N, best[v]);
      if constexpr (kPlaces) L::Store(places + to + v * N, place[v]);
    }
  }
};

template <bool kBackward>
struct Chosen {
  static constexpr bool kWeights = false;
  const float* read;
  const uint8_t* places;
  float* written;

  template <int N, int kVectors>
  void Compute(int64_t from, int64_t to, const Tap* taps, int64_t count) const {
    using L = Lanes<N>;
    typename L::Floats sum[kVectors] = {};
    for (int64_t i = 0; i < count; ++i)
      for (int v = 0; v < kVectors; ++v) {
        const int64_t at = from + taps[i].offset + v * N;
        const typename L::Ints place = L::Load(places + (kBackward ? at : to + v * N));
        sum[v] += place == taps[i].place ? L::Load(read + at) : typename L::Floats{};
      }
    for (int v = 0; v < kVectors; ++v) L::Store(written + to + v * N, sum[v]);
  }
};

struct Mean {
  static constexpr bool kWeights = true;
  const float* read;
  float* written;

  template <int N, int kVectors>
  void Compute(int64_t from, int64_t to, const Tap* taps, int64_t count) const {
    using L = Lanes<N>;
    typename L::Floats sum[kVectors] = {};
    for (int64_t i = 0; i < count; ++i)
      for (int v = 0; v < kVectors; ++v)
        sum[v] += taps[i].weight * L::Load(read + from + taps[i].offset + v * N);
    for (int v = 0; v < kVectors; ++v) L::Store(written + to + v * N, sum[v]);
  }
};

// Computes `numbers` side by side. The last vector begins as early as it must to be full: what it
// writes again is the same.
template <int N, typename Kernel>
void Vectors(const Kernel& kernel, int64_t from, int64_t to, const Tap* taps, int64_t count,
             int64_t numbers) {
  constexpr int kSeveral = 4;  // loads of taps and chains of comparisons overlap
  int64_t i = 0;
  for (; i + kSeveral * N <= numbers; i += kSeveral * N)
    kernel.template Compute<N, kSeveral>(from + i, to + i, taps, count);
  for (; i + N <= numbers; i += N) kernel.template Compute<N, 1>(from + i, to + i, taps, count);
  if (i < numbers)
    kernel.template Compute<N, 1>(from + numbers - N, to + numbers - N, taps, count);
}

template <typename Kernel>
void Numbers(const Kernel& kernel, int64_t from, int64_t to, const Tap* taps, int64_t count,
             int64_t numbers) {
  if (numbers >= kWidth) return Vectors<kWidth>(kernel, from, to, taps, count, numbers);
  if constexpr (kWidth > 8)
    if (numbers >= 8) return Vectors<8>(kernel, from, to, taps, count, numbers);
  if constexpr (kWidth > 4)
    if (numbers >= 4) return Vectors<4>(kernel, from, to, taps, count, numbers);
  Vectors<1>(kernel, from, to, taps, count, numbers);
}

// Positions along the last axis that are written from the same places, `step` of the plan apart:
// the first is `written`, and reads `span`.
struct Pattern {
  Span span;
  int64_t written, count;
};
static_assert(sizeof(Pattern) == kScratchOfPosition);

// Whatever does not depend on the row.
struct Plan {
  Axis axes[3];
  int64_t step, advance;  // from one position of a pattern to the next, written and read
  Pattern* patterns;
  int64_t count;

  Plan(const Windows& is, bool backward, bool weights)
      : axes{{is, 0, backward}, {is, 1, backward}, {is, 2, backward}},
        step(backward ? is.strides[2] : 1), advance(backward ? 1 : is.strides[2]),
        patterns(static_cast<Pattern*>(is.scratch)), count(0) {
    const Axis& last = axes[2];
    auto alike = [&](const Span& a, const Span& b) {
      return a.count == b.count && a.place == b.place &&
             (!weights || !backward || (a.whole && b.whole));
    };
    for (int64_t i = 0; i < last.Written(); ++i) {
      const Span span = last.At(i);
      if (i >= step && alike(last.At(i - step), span)) continue;
      int64_t end = i + step;
      while (end < last.Written() && alike(span, last.At(end))) end += step;
      patterns[count++] = {span, i, (end - i) / step};
    }
  }
};

// Finds what the first position of a pattern reads in the row at (`i`, `j`); returns how many.
template <bool kWeights>
int64_t Find(const Plan& plan, int64_t i, int64_t j, const Pattern& pattern, Tap* taps) {
  const Axis* axes = plan.axes;
  const int64_t written[3] = {i, j, pattern.written};
  const Span spans[3] = {axes[0].At(i), axes[1].At(j), pattern.span};
  int64_t count = 0;
  for (int64_t a = 0; a < spans[0].count; ++a)
    for (int64_t b = 0; b < spans[1].count; ++b)
      for (int64_t c = 0; c < spans[2].count; ++c) {
        const int64_t steps[3] = {a, b, c};
        Tap& tap = taps[count++];
        tap = {0, 0, 1};
        int64_t elements = 1;
        for (int axis = 0; axis < 3; ++axis) {
          const Span& span = spans[axis];
          const int64_t read = span.first + steps[axis];
          tap.offset = tap.offset * axes[axis].Read() + read;
          tap.place = tap.place * axes[axis].size + span.place + steps[axis] * axes[axis].Step();
          if (kWeights) elements *= axes[axis].Elements(written[axis], read);
        }
        if (kWeights) tap.weight = 1.0f / elements;
      }
  return count;
}

// Writes one row along the last axis in each of a group of images.
template <typename Kernel>
void Row(const Kernel& kernel, const Windows& is, const Plan& plan, int64_t group, int64_t i,
         int64_t j) {
  const Axis* axes = plan.axes;
  const int64_t in_image = axes[0].Read() * axes[1].Read() * axes[2].Read();
  const int64_t row = axes[2].Written(), rows = axes[0].Written() * axes[1].Written();
  const int64_t first = group * is.images, last = Least(first + is.images, is.batch);
  for (const Pattern* pattern = plan.patterns; pattern < plan.patterns + plan.count; ++pattern) {
    Tap taps[kMostInWindow];
    const int64_t count = Find<Kernel::kWeights>(plan, i, j, *pattern, taps);
    for (int64_t t = 0; t < count; ++t) taps[t].offset *= is.channels;
    for (int64_t image = first; image < last; ++image) {
      const int64_t from = image * in_image * is.channels;
      const int64_t to =
          ((image * rows + i * axes[1].Written() + j) * row + pattern->written) * is.channels;
      if (plan.step == 1 && plan.advance == 1) {
        Numbers(kernel, from, to, taps, count, pattern->count * is.channels);
        continue;
      }
      for (int64_t k = 0; k < pattern->count; ++k)
        Numbers(kernel, from + k * plan.advance * is.channels, to + k * plan.step * is.channels,
                taps, count, is.channels);
    }
  }
}

template <typename Kernel>
void Run(const Kernel& kernel, const Windows& is, bool backward) {
  const Plan plan(is, backward, Kernel::kWeights);
  const int64_t outer = plan.axes[0].Written(), inner = plan.axes[1].Written();
  const int64_t rows = (is.batch + is.images - 1) / is.images * outer * inner;
  is.sharing.Each(is.parts, [&](int64_t part) {
    for (int64_t row = rows * part / is.parts; row < rows * (part + 1) / is.parts; ++row)
      Row(kernel, is, plan, row / (outer * inner), row / inner % outer, row % inner);
  });
}

}  // namespace

void RunMaxPool(const MaxPool& call) {
  if (call.places)
    Run(Largest<true>{call.x, call.y, call.places}, call.is, false);
  else
    Run(Largest<false>{call.x, call.y, nullptr}, call.is, false);
}

void RunLinearPool(const LinearPool& call) {
  if (!call.places)
    Run(Mean{call.from, call.to}, call.is, call.backward);
  else if (call.backward)
    Run(Chosen<true>{call.from, call.places, call.to}, call.is, true);
  else
    Run(Chosen<false>{call.from, call.places, call.to}, call.is, false);
}

}  // namespace plait::PLAIT_LEVEL
