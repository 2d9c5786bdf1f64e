#include "pooling.h"

#include "vectors.h"

namespace plait::PLAIT_LEVEL {
namespace {

int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }
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

// One number that is read: where it is, counted from the first, and its place in its window.
struct Tap {
  int64_t offset;
  int32_t place;
  float weight;  // in a mean
};

// N numbers side by side, and their places. (GCC 12 converts no vector whose size is a parameter.)
template <int N>
struct Lanes;

#define PLAIT_LANES(N)                                                                 \
  template <>                                                                          \
  struct Lanes<N> {                                                                    \
    typedef float Floats __attribute__((vector_size(4 * N)));                          \
    typedef int32_t Ints __attribute__((vector_size(4 * N)));                          \
    typedef uint8_t Bytes __attribute__((vector_size(N)));                             \
    typedef float Anywhere __attribute__((vector_size(4 * N), aligned(4), may_alias)); \
    typedef uint8_t Bytewise __attribute__((vector_size(N), aligned(1), may_alias));   \
                                                                                       \
    static Floats Load(const float* from) {                                            \
      return *reinterpret_cast<const Anywhere*>(from);                                 \
    }                                                                                  \
    static Ints Load(const uint8_t* from) {                                            \
      const Bytes bytes = *reinterpret_cast<const Bytewise*>(from);                    \
      return __builtin_convertvector(bytes, Ints);                                     \
    }                                                                                  \
    static void Store(float* to, Floats values) {                                      \
      *reinterpret_cast<Anywhere*>(to) = values;                                       \
    }                                                                                  \
    static void Store(uint8_t* to, Ints values) {                                      \
      *reinterpret_cast<Bytewise*>(to) = __builtin_convertvector(values, Bytes);       \
    }                                                                                  \
  };

PLAIT_LANES(4)
#if defined(__AVX2__)
PLAIT_LANES(8)
#endif
#if defined(__AVX512F__)
PLAIT_LANES(16)
#endif

template <>
struct Lanes<1> {
  using Floats = float;
  using Ints = int32_t;

  static float Load(const float* from) { return *from; }
  static int32_t Load(const uint8_t* from) { return *from; }
  static void Store(float* to, float value) { *to = value; }
  static void Store(uint8_t* to, int32_t value) { *to = static_cast<uint8_t>(value); }
};

// Each of these computes N numbers at `to` from those that the taps find from `from`.

template <bool kPlaces>
struct Largest {
  static constexpr bool kWeights = false;
  const float* x;
  float* y;
  uint8_t* places;

  template <int N>
  void Compute(int64_t from, int64_t to, const Tap* taps, int64_t count) const {
    using L = Lanes<N>;
    typename L::Floats best = L::Load(x + from + taps[0].offset);
    typename L::Ints place = taps[0].place - typename L::Ints{};
    for (int64_t i = 1; i < count; ++i) {
      const typename L::Floats other = L::Load(x + from + taps[i].offset);
      const typename L::Ints better = (other > best) | (other != other);
      best = better ? other : best;
      if constexpr (kPlaces) place = better ? taps[i].place - typename L::Ints{} : place;
    }
    L::Store(y + to, best);
    if constexpr (kPlaces) L::Store(places + to, place);
  }
};

template <bool kBackward>
struct Chosen {
  static constexpr bool kWeights = false;
  const float* from_data;
  const uint8_t* places;
  float* to_data;

  template <int N>
  void Compute(int64_t from, int64_t to, const Tap* taps, int64_t count) const {
    using L = Lanes<N>;
    typename L::Floats sum{};
    typename L::Ints place{};
    if constexpr (!kBackward) place = L::Load(places + to);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = from + taps[i].offset;
      if constexpr (kBackward) place = L::Load(places + at);
      sum += place == taps[i].place ? L::Load(from_data + at) : typename L::Floats{};
    }
    L::Store(to_data + to, sum);
  }
};

struct Mean {
  static constexpr bool kWeights = true;
  const float* from_data;
  float* to_data;

  template <int N>
  void Compute(int64_t from, int64_t to, const Tap* taps, int64_t count) const {
    using L = Lanes<N>;
    typename L::Floats sum{};
    for (int64_t i = 0; i < count; ++i)
      sum += taps[i].weight * L::Load(from_data + from + taps[i].offset);
    L::Store(to_data + to, sum);
  }
};

// Computes `numbers` side by side. The last vector begins as early as it must to be full: what it
// writes again is the same.
template <int N, typename Kernel>
void Vectors(const Kernel& kernel, int64_t from, int64_t to, const Tap* taps, int64_t count,
             int64_t numbers) {
  int64_t i = 0;
  for (; i + N <= numbers; i += N) kernel.template Compute<N>(from + i, to + i, taps, count);
  if (i < numbers)
    kernel.template Compute<N>(from + numbers - N, to + numbers - N, taps, count);
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

// Writes one row along the last axis.
template <typename Kernel>
void Row(const Kernel& kernel, const Windows& is, bool backward, const int64_t (&position)[3]) {
  const Axis axes[3] = {{is, 0, backward}, {is, 1, backward}, {is, 2, backward}};
  const Axis& last = axes[2];
  const Span outer = axes[0].At(position[1]), inner = axes[1].At(position[2]);
  const int64_t channels = is.channels;
  const int64_t from = position[0] * axes[0].Read() * axes[1].Read() * last.Read() * channels;
  const int64_t to =
      ((position[0] * axes[0].Written() + position[1]) * axes[1].Written() + position[2]) *
      last.Written() * channels;
  Tap taps[kMostInWindow];

  auto tap = [&](const Span& span, int64_t written) {
    int64_t count = 0;
    for (int64_t i = 0; i < outer.count; ++i)
      for (int64_t j = 0; j < inner.count; ++j)
        for (int64_t k = 0; k < span.count; ++k) {
          const int64_t read[3] = {outer.first + i, inner.first + j, span.first + k};
          const int64_t place[3] = {outer.place + i * axes[0].Step(),
                                    inner.place + j * axes[1].Step(),
                                    span.place + k * last.Step()};
          Tap& made = taps[count++];
          made.offset = ((read[0] * axes[1].Read() + read[1]) * last.Read() + k) * channels;
          made.place = (place[0] * axes[1].size + place[1]) * last.size + place[2];
          if constexpr (Kernel::kWeights)
            made.weight = 1.0f / (axes[0].Elements(position[1], read[0]) *
                                  axes[1].Elements(position[2], read[1]) *
                                  last.Elements(written, read[2]));
        }
    return count;
  };
  // Whether the same taps serve both.
  auto alike = [&](const Span& a, const Span& b) {
    return a.count == b.count && a.place == b.place &&
           (!Kernel::kWeights || !backward || (a.whole && b.whole));
  };

  Span span{0, -1, 0, false};
  for (int64_t i = 0, count = 0; i < last.Written();) {
    Span next = last.At(i);
    if (!alike(span, next)) count = tap(next, i);
    span = next;
    int64_t after = i + 1;  // those until here read what lies side by side
    if (last.stride == 1)
      while (after < last.Written() && alike(span, next = last.At(after))) ++after;
    Numbers(kernel, from + span.first * channels, to + i * channels, taps, count,
            (after - i) * channels);
    i = after;
  }
}

template <typename Kernel>
void Run(const Kernel& kernel, const Windows& is, bool backward) {
  const int64_t* sizes = backward ? is.elements : is.windows;
  const int64_t rows = is.batch * sizes[0] * sizes[1];
  is.sharing.Each(is.parts, [&](int64_t part) {
    for (int64_t row = rows * part / is.parts; row < rows * (part + 1) / is.parts; ++row)
      Row(kernel, is, backward,
          {row / (sizes[0] * sizes[1]), row / sizes[1] % sizes[0], row % sizes[1]});
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
